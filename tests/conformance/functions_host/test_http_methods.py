"""Which function a method goes to, and what the methods beside GET and POST need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.functions_host.running_host import read_head

if TYPE_CHECKING:
    from tests.conformance.functions_host.running_host import RunningHost


def test_functions_of_one_template_share_it_by_method(streaming: RunningHost) -> None:
    assert streaming.request("GET", "/api/things/7").body == b"read 7"
    assert streaming.request("PATCH", "/api/things/7", body=b"abc").body == b"changed 7 by 3 bytes"
    head = streaming.request("HEAD", "/api/things/7")
    assert (head.status, head.header("Upload-Offset"), head.body) == (200, "7", b"")


@pytest.mark.parametrize("path", ["things/7", "files/a/b", "v1/there/is/nothing", ""])
def test_a_method_that_only_the_catch_all_takes_goes_there(streaming: RunningHost, path: str) -> None:
    answer = streaming.request("OPTIONS", f"/api/{path}", headers={"Origin": "https://app.example"})
    # The function of files/{*path} takes every method, and its template is the more specific one.
    if path.startswith("files/"):
        assert answer.json()["path"] == "a/b"
    else:
        assert (answer.status, answer.header("X-Path")) == (204, path)


@pytest.mark.parametrize(("method", "path"), [("DELETE", "things/7"), ("GET", "nothing"), ("HEAD", "raises")])
def test_a_method_that_no_function_takes_is_not_found(streaming: RunningHost, method: str, path: str) -> None:
    assert streaming.request(method, f"/api/{path}").status == 404


def test_preflight_reaches_the_app_when_the_host_itself_knows_no_origin(streaming: RunningHost) -> None:
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"}
    answer = streaming.request("OPTIONS", "/api/things/7", headers=headers)
    assert (answer.status, answer.header("X-Path")) == (204, "things/7")


@pytest.mark.parametrize(
    ("path", "length"),
    [("things/7", b"123456"), ("download/3/sized", b"3145728"), ("download/3/chunked", None)],
)
def test_head_has_no_body_and_leaves_the_connection_usable(
    streaming: RunningHost, path: str, length: bytes | None
) -> None:
    connection = streaming.connect()
    for _ in range(2):  # bytes of a body would stand where the second answer begins
        connection.sendall(f"HEAD /api/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = read_head(connection)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert (b"Content-Length: " + length in head) if length else (b"Content-Length" not in head)
    connection.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.close()
