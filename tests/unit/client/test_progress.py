"""What a person sees while a file is sent."""

from __future__ import annotations

import io

from dropbell.progress import MEBIBYTE, PlainProgress, show_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_progress_tells_each_quarter_once() -> None:
    lines: list[str] = []
    seconds = iter(range(100))
    progress = PlainProgress("a.bin", lines.append, lambda: next(seconds))
    for sent_mebibytes in range(1, 9):
        progress(sent_mebibytes * MEBIBYTE, 8 * MEBIBYTE)
    assert lines == [
        "a.bin: 25 % of 8.0 MiB, 2.0 MiB/s, 3 s left",
        "a.bin: 50 % of 8.0 MiB, 2.0 MiB/s, 2 s left",
        "a.bin: 75 % of 8.0 MiB, 2.0 MiB/s, 1 s left",
        "a.bin: 100 % of 8.0 MiB, 2.0 MiB/s, 0 s left",
    ]


def test_a_small_file_is_one_line() -> None:
    lines: list[str] = []
    PlainProgress("a.bin", lines.append, lambda: 0.0)(5, 5)
    assert len(lines) == 1


def test_of_an_unknown_or_empty_whole_there_are_no_quarters() -> None:
    lines: list[str] = []
    progress = PlainProgress("a.bin", lines.append)
    progress(5, None)
    progress(0, 0)
    assert lines == []


def test_a_terminal_gets_a_bar_in_mebibytes_and_the_name_is_no_markup() -> None:
    terminal = Terminal()
    with show_progress("[red]a.bin", terminal, {"TERM": "xterm"}) as on_progress:
        on_progress(2 * MEBIBYTE, 4 * MEBIBYTE)
    assert "[red]a.bin" in terminal.getvalue()
    assert "2.0/4.0 MiB" in terminal.getvalue()
    assert "\x1b[" in terminal.getvalue()


def test_no_color_and_dumb_terminals_get_plain_lines() -> None:
    for environment in ({"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}):
        terminal = Terminal()
        with show_progress("a.bin", terminal, environment) as on_progress:
            on_progress(4 * MEBIBYTE, 4 * MEBIBYTE)
        assert terminal.getvalue().startswith("a.bin: 100 % of 4.0 MiB")
        assert "\x1b" not in terminal.getvalue()


def test_a_file_as_output_gets_plain_lines() -> None:
    stream = io.StringIO()
    with show_progress("a.bin", stream, {"TERM": "xterm"}) as on_progress:
        on_progress(MEBIBYTE, 4 * MEBIBYTE)
    assert stream.getvalue().startswith("a.bin: 25 %")
