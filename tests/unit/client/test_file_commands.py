"""The commands for files and share links, as a person and as a script use them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from dropbell.command_line import ExitCode, main
from dropbell.file_commands import readable_size
from tests.unit.client.fake_api import TOKEN, FakeApi
from tests.unit.client.fake_catalogue import cut_after

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
CONTENT = b"ring the bell"


@pytest.fixture
def environment(api: FakeApi, tmp_path: Path) -> dict[str, str]:
    return {
        "DROPBELL_API": api.url,
        "DROPBELL_TOKEN": TOKEN,
        "DROPBELL_CONFIG_DIR": str(tmp_path / "config"),
        "DROPBELL_CACHE_DIR": str(tmp_path / "cache"),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "client"),
    }


@pytest.fixture
def file_id(api: FakeApi) -> str:
    return api.catalogue.add("bell.txt", "text/plain", CONTENT)


@pytest.fixture
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, empty."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "f1"],
        ["ls", "--limit", "0"],
        ["ls", "--limit", "many"],
        ["ls", "--status", "lost"],
        ["get"],
        ["rm"],
        ["share"],
        ["unshare", "f1"],
        ["put", "a", "--direct", "--resumable"],
    ],
)
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments, {})
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["ls", "--since", "yesterday"], ExitCode.USAGE, "is not a time"),
        (["ls", "--token", "stale"], ExitCode.NOT_SIGNED_IN, "token is not valid"),
        (["get", "../f1"], ExitCode.USAGE, "is not a file id"),
        (["get", "f1"], ExitCode.REFUSED, "no such file"),
        (["get", "f1", "--range", "0-9"], ExitCode.USAGE, "needs -o"),
        (["get", "f1", "--range", "all", "-o", "-"], ExitCode.USAGE, "is not a range"),
        (["rm", "f1"], ExitCode.REFUSED, "no such file"),
        (["edit", "f1"], ExitCode.USAGE, "Say what to change"),
        (["edit", "f1", "--label", "colour"], ExitCode.USAGE, "is not a label such as"),
        (["edit", "f1", "--label", "a=b", "--remove-label", "a"], ExitCode.USAGE, "set and removed at once"),
        (["edit", "f1", "--expires-at", "soon"], ExitCode.USAGE, "is not a time"),
        (["share", "f1", "--for", "ever"], ExitCode.USAGE, "is not a span of time"),
        (["unshare", "f1", "a/b"], ExitCode.USAGE, "is not a share link id"),
        (["put", "-", "--name", "a", "--resumable"], ExitCode.USAGE, "only once"),
        (["put", "-", "--name", "a", "--direct"], ExitCode.USAGE, "only once"),
    ],
)
def test_a_failure_is_one_sentence_and_a_code(
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: ExitCode,
    sentence: str,
) -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    with os.fdopen(read_end) as standard_input:
        monkeypatch.setattr(sys, "stdin", standard_input)
        assert main(arguments, environment) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert sentence in output.err
    assert output.err.count("\n") == 1


def test_a_list_is_a_table_for_people(
    environment: dict[str, str], api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("old.txt", "new \x1b[2J.txt"):
        api.catalogue.add(name, "text/plain", bytes(2048))
    assert main(["ls"], environment) == ExitCode.OK
    output = capsys.readouterr()
    header, first, second = output.out.splitlines()
    assert header.split() == ["ID", "STATUS", "SIZE", "CREATED", "(UTC)", "NAME"]
    assert first.endswith("2.0 KiB  2026-01-02 03:04  new \ufffd[2J.txt")
    assert second.index("old.txt") == header.index("NAME")
    assert output.err == ""


def test_a_list_says_that_there_is_more(
    environment: dict[str, str], api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(120):
        api.catalogue.add(f"{number}.txt", "text/plain", b"")
    assert main(["ls", "--limit", "3"], environment) == ExitCode.OK
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 1 + 3
    assert "there are more" in output.err
    assert main(["ls", "--all", "--prefix", "1", "--json"], environment) == ExitCode.OK
    output = capsys.readouterr()
    assert len([json.loads(line) for line in output.out.splitlines()]) == 31
    assert output.err == ""


def test_a_file_is_downloaded_under_its_own_name_once(
    environment: dict[str, str], file_id: str, in_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", file_id], environment) == ExitCode.OK
    assert (in_directory / "bell.txt").read_bytes() == CONTENT
    assert "bell.txt  13 bytes  SHA-256 verified" in capsys.readouterr().out
    assert main(["get", file_id], environment) == ExitCode.USAGE
    assert "bell.txt exists; use --force" in capsys.readouterr().err
    assert main(["get", file_id, "--force"], environment) == ExitCode.OK


def test_a_name_that_leads_elsewhere_stays_here(
    environment: dict[str, str], api: FakeApi, in_directory: Path, tmp_path: Path
) -> None:
    file_id = api.catalogue.add("../../.bashrc", "text/plain", CONTENT)
    (tmp_path / "there").mkdir()
    assert main(["get", file_id], environment) == ExitCode.OK
    assert main(["get", file_id, "-o", str(tmp_path / "there")], environment) == ExitCode.OK
    assert [path.name for path in in_directory.iterdir()] == ["_bashrc"]
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["_bashrc"]


def test_a_download_to_standard_output_is_the_content_only(
    environment: dict[str, str], api: FakeApi, file_id: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["get", file_id, "-o", "-"], environment) == ExitCode.OK
    assert capfdbinary.readouterr().out == CONTENT
    assert main(["get", file_id, "-o", "-", "--range", "-4"], environment) == ExitCode.OK
    assert capfdbinary.readouterr().out == b"bell"


def test_a_part_can_be_written_to_a_file(
    environment: dict[str, str], file_id: str, in_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", file_id, "-o", "part", "--range", "0-3", "--json"], environment) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == {"id": file_id, "path": "part", "size_bytes": 4}
    assert (in_directory / "part").read_bytes() == b"ring"


def test_a_damaged_download_has_a_code_of_its_own(
    environment: dict[str, str],
    api: FakeApi,
    file_id: str,
    in_directory: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    api.catalogue.files[file_id].content = b"rang the bell"
    assert main(["get", file_id], environment) == ExitCode.DAMAGED
    assert "is not the file" in capsys.readouterr().err
    assert list(in_directory.iterdir()) == []


def test_a_person_is_told_that_it_goes_on_after_a_cut(
    environment: dict[str, str],
    api: FakeApi,
    file_id: str,
    in_directory: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    api.at["GET", 1] = cut_after(4, CONTENT)
    assert main(["get", file_id], environment) == ExitCode.OK
    assert "Trying again in" in capsys.readouterr().err
    assert (in_directory / "bell.txt").read_bytes() == CONTENT


def test_files_are_deleted_in_order_up_to_the_first_refusal(
    environment: dict[str, str], api: FakeApi, file_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = api.catalogue.add("kept.txt", "text/plain", b"")
    assert main(["rm", file_id, "missing", kept, "--if-unchanged"], environment) == ExitCode.REFUSED
    assert capsys.readouterr().out == f"{file_id}  deleted\n"
    assert list(api.catalogue.files) == [kept]


def test_a_file_is_edited(
    environment: dict[str, str], api: FakeApi, file_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    api.catalogue.files[file_id].record["labels"] = {"old": "x", "kept": "y"}
    arguments = ["edit", file_id, "--name", "b.txt", "--label", "a=b=c", "--remove-label", "old"]
    assert main([*arguments, "--expires-at", "2030-01-02T03:04:05Z", "--json"], environment) == ExitCode.OK
    edited = json.loads(capsys.readouterr().out)
    assert (edited["name"], edited["labels"]) == ("b.txt", {"kept": "y", "a": "b=c"})
    assert edited["expires_at"] == "2030-01-02T03:04:05Z"
    assert main(["edit", file_id, "--expires-at", "never"], environment) == ExitCode.OK
    assert api.catalogue.files[file_id].record["expires_at"] is None


def test_a_link_is_shared_listed_and_revoked(
    environment: dict[str, str], file_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["share", file_id, "--for", "30m"], environment) == ExitCode.OK
    output = capsys.readouterr()
    assert output.out == "https://dropbell.example/s/0\n"
    assert output.err.startswith("Link link-0, until 20")
    assert main(["shares", file_id], environment) == ExitCode.OK
    assert capsys.readouterr().out.startswith("link-0  until 20")
    assert main(["unshare", file_id, "link-0"], environment) == ExitCode.OK
    assert capsys.readouterr().out == "link-0  revoked\n"
    assert main(["shares", file_id], environment) == ExitCode.OK
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("way", ["--resumable", "--no-resumable", "--direct"])
def test_a_file_is_put_in_the_way_asked_for(
    environment: dict[str, str], api: FakeApi, tmp_path: Path, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bell.txt"
    path.write_bytes(CONTENT)
    assert main(["put", str(path), way, "--json"], environment) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["size_bytes"] == len(CONTENT)
    first_path = {"--resumable": "/uploads", "--no-resumable": "/files", "--direct": "/direct-uploads"}[way]
    assert api.received[0].path == f"/api/v1{first_path}"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that runs us in the background has SIGINT ignored, and a child would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_put_goes_on_in_the_next_process(
    environment: dict[str, str], api: FakeApi, tmp_path: Path
) -> None:
    path = tmp_path / "bell.bin"
    content = os.urandom(3_000_000)
    path.write_bytes(content)
    half_way, ended = threading.Event(), threading.Event()

    async def take_half(request: web.Request) -> web.StreamResponse:
        (taken,) = api.uploads.uploads.values()
        taken.content += await request.content.readexactly(1_500_000)
        half_way.set()
        await request.content.read()  # until the client is gone
        ended.set()
        return web.Response()

    api.at["PATCH", 0] = take_half
    arguments = [sys.executable, "-m", "dropbell", "put", str(path), "--resumable", "--json"]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(  # noqa: S603 - our own program
            [*arguments[:-1]], env=environment, stdout=pipe, stderr=pipe
        ) as process
    ):
        assert half_way.wait(20)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    done = subprocess.run(  # noqa: S603 - our own program
        arguments, env=environment, capture_output=True, timeout=30, check=True
    )
    assert api.catalogue.files[json.loads(done.stdout)["id"]].content == content
    assert api.uploads.creations == 1


def test_sizes_are_readable() -> None:
    sizes = [0, 1023, 1024, 1536, 1024**2 - 1, 1024**3, 5 * 1024**5]
    assert [readable_size(size) for size in sizes] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 KiB",
        "1024.0 KiB",
        "1.0 GiB",
        "5120.0 TiB",
    ]
