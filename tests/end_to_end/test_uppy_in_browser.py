"""A page with Uppy, from another origin than the API's, in a headless Chromium."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.clients.node import run_node
from tests.end_to_end.sent_file import MEBIBYTE, SentFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.running_stack import RunningStack

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass


@pytest.fixture
def page(stack: RunningStack, tmp_path: Path) -> Iterator[str]:
    """The address of the page, set up to upload as Alice."""
    folder = tmp_path / "page"
    folder.mkdir()
    run_node("uppy/build.mjs", folder)
    config = {
        "endpoint": stack.url("/uploads"),
        "token": stack.token(user="alice"),
        "chunk_bytes": 2 * MEBIBYTE,
    }
    (folder / "config.json").write_text(json.dumps(config))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("options", [(), ("--pause",)], ids=["at once", "paused and resumed"])
def test_a_file_that_is_picked_in_the_page_arrives(
    stack: RunningStack, page: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    file = SentFile(tmp_path, name="Glöckchen ✓.bin")
    screenshot = tmp_path / "uploaded.png"

    told = run_node(
        "uppy/upload.mjs", "--page", page, "--file", file.path, "--screenshot", screenshot, *options
    )

    assert (told["outcome"], told["complaints"]) == ("success", []), told["exchanges"]
    file.assert_arrived(stack, told["file_id"])
    methods = [
        each["method"]
        for each in told["exchanges"]
        if each.get("url", "").startswith(stack.addresses["api"]) and "status" in each
    ]
    assert "OPTIONS" in methods  # the browser did ask whether that origin may
    assert ("HEAD" in methods) == bool(options)
    assert methods.count("POST") == 1
    assert screenshot.read_bytes().startswith(PNG_SIGNATURE)
