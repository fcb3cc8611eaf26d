"""HTTP functions that take ``func.HttpRequest``, by the real command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.functions_host.running_host import APPS, MASTER_KEY

if TYPE_CHECKING:
    from tests.conformance.functions_host.conftest import StartHost
    from tests.conformance.functions_host.running_host import RunningHost

TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_request_reaches_function(classic: RunningHost) -> None:
    answer = classic.request(
        "POST",
        "/api/echo/J%C3%BCrgen/7?a=1&b=x%20y",
        headers={"X-Custom": "value", "traceparent": TRACE_PARENT},
        body=b"content",
    )
    seen = answer.json()
    assert answer.status == 200
    assert answer.header("Content-Type") == "application/json"
    assert answer.header("X-Answer") == "yes"
    assert seen["method"] == "POST"
    assert seen["params"] == {"name": "Jürgen", "number": "7"}
    assert seen["query"] == {"a": "1", "b": "x y"}
    assert seen["body"] == "content"
    assert seen["header"] == "value"
    assert seen["trace_parent"] == TRACE_PARENT
    assert seen["url"].endswith(f":{classic.port}/api/echo/J%C3%BCrgen/7?a=1&b=x%20y")
    assert seen["cwd"] == seen["first_on_path"] == str(APPS / "classic")


def test_request_without_trace_gets_one(classic: RunningHost) -> None:
    seen = classic.request("GET", "/api/echo/a").json()
    assert seen["trace_parent"].startswith("00-")
    assert seen["params"] == {"name": "a"}


def test_log_record_is_a_line_of_its_own(classic: RunningHost) -> None:
    classic.request("GET", "/api/echo/a")
    classic.wait_for_line("echo was called")
    assert "echo was called" in classic.lines


def test_text_becomes_plain_response(classic: RunningHost) -> None:
    answer = classic.request("GET", "/api/text")
    assert (answer.status, answer.body) == (200, b"plain words")
    assert answer.header("Content-Type") == "text/plain; charset=utf-8"


def test_each_cookie_has_its_header(classic: RunningHost) -> None:
    answer = classic.request("GET", "/api/cookies")
    cookies = [value for name, value in answer.headers if name == "Set-Cookie"]
    assert cookies == [
        "a=1; Path=/; HttpOnly; SameSite=Lax",
        "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Max-Age=60; Secure",
    ]


def test_bytes_come_back_unchanged(classic: RunningHost) -> None:
    content = bytes(range(256)) * 4096
    assert classic.request("POST", "/api/bytes", body=content).body == content


def test_no_content_has_no_body(classic: RunningHost) -> None:
    answer = classic.request("GET", "/api/nothing")
    assert (answer.status, answer.body) == (204, b"")


def test_failing_function_answers_500_and_is_explained_in_the_log(classic: RunningHost) -> None:
    assert classic.request("GET", "/api/fails").status == 500
    classic.wait_for_line("Exception: ValueError: it went wrong")
    assert "Exception: ValueError: it went wrong" in classic.lines


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/bytes"), ("GET", "/api/none"), ("GET", "/other")])
def test_unknown_route_or_method_is_404(classic: RunningHost, method: str, path: str) -> None:
    assert classic.request(method, path).status == 404


def test_body_over_the_limit_is_413(classic: RunningHost) -> None:
    connection = classic.connect()
    connection.sendall(b"POST /api/bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 104857601\r\n\r\n")
    assert b" 413 " in connection.recv(100)
    connection.close()


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/api/guarded", None, 401),
        ("/api/guarded", "wrong", 401),
        ("/api/guarded", "the-function-key", 200),
        ("/api/guarded", "the-master-key", 200),
        ("/api/owner", "the-function-key", 401),
        ("/api/owner", "the-master-key", 200),
        ("/admin/host/status", None, 401),
        ("/admin/host/status", "the-master-key", 200),
        ("/admin/functions", "the-function-key", 401),
        ("/admin/host/ping", None, 200),
        ("/", None, 200),
    ],
)
def test_keys_open_what_they_are_for(classic: RunningHost, path: str, key: str | None, status: int) -> None:
    headers = {"x-functions-key": key} if key else {}
    assert classic.request("GET", path, headers=headers).status == status
    by_query = f"{path}?code={key}" if key else path
    assert classic.request("GET", by_query).status == status


def test_header_wins_over_query(classic: RunningHost) -> None:
    answer = classic.request("GET", f"/api/guarded?code={MASTER_KEY}", headers={"x-functions-key": "wrong"})
    assert answer.status == 401


def test_without_auth_nobody_shows_a_key(start_host: StartHost) -> None:
    host = start_host("classic", "--no-auth")
    assert host.request("GET", "/api/owner").status == 200
    assert host.request("GET", "/admin/functions").status == 200


def test_functions_are_listed(classic: RunningHost) -> None:
    headers = {"x-functions-key": "the-master-key"}
    names = {each["name"] for each in classic.request("GET", "/admin/functions", headers=headers).json()}
    assert {"echo", "text", "guarded"} <= names
    one = classic.request("GET", "/admin/functions/echo", headers=headers).json()
    assert one["config"]["bindings"][0]["route"] == "echo/{name}/{number:int?}"
    assert classic.request("GET", "/admin/functions/nobody", headers=headers).status == 404


def test_dead_worker_fails_its_calls_at_once_and_is_replaced(start_host: StartHost) -> None:
    host = start_host("classic")
    (first,) = host.status["worker_pids"]
    assert host.request("GET", "/api/exit").status == 500
    assert host.request("GET", "/api/text").status == 200
    (second,) = host.status["worker_pids"]
    assert second != first


def test_function_over_its_time_is_ended_with_its_worker(start_host: StartHost) -> None:
    host = start_host("classic")
    assert host.request("GET", "/api/sleep/60").status == 500
    assert "FunctionTimeoutException" in host.output
    assert host.request("GET", "/api/text").status == 200


def test_stop_lets_a_running_function_finish(start_host: StartHost) -> None:
    host = start_host("classic")
    connection = host.connect()
    connection.sendall(b"GET /api/sleep/0.7 HTTP/1.1\r\nHost: x\r\n\r\n")
    host.wait_for_line("Executing 'Functions.sleep'")
    host.process.terminate()
    assert b" 200 " in connection.recv(100)
    connection.close()
    assert host.process.wait(timeout=5) == 0


def test_second_signal_ends_at_once(start_host: StartHost) -> None:
    host = start_host("classic")
    connection = host.connect()
    connection.sendall(b"GET /api/sleep/1.9 HTTP/1.1\r\nHost: x\r\n\r\n")
    host.wait_for_line("Executing 'Functions.sleep'")
    host.process.terminate()
    host.wait_for_line("Stopping;")
    assert host.stop() == 1
    connection.close()


def test_several_workers_share_the_requests(start_host: StartHost) -> None:
    host = start_host("classic", FUNCTIONS_WORKER_PROCESS_COUNT="2")
    host.wait(lambda: len(host.status["worker_pids"]) == 2, "both workers are ready")
    assert host.request("GET", "/api/exit").status == 500
    assert host.request("GET", "/api/text").status == 200
