"""What the worker says about functions, retries, and what goes to the console."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from local.functions_host import retry
from local.functions_host.console import Console, threshold
from local.functions_host.functions import AppIndex, FunctionError, RetryPolicy, index_from_worker
from local.functions_host.worker_pool import RestartPolicy

SUCCESS = {"result": {"status": 1}}
HTTP = {"name": "req", "type": "httpTrigger", "direction": "IN"}
HTTP_OUT = {"name": "$return", "type": "http", "direction": "OUT"}


def index(*bindings: dict[str, Any], **more: Any) -> AppIndex:
    metadata = {
        "name": "f",
        "function_id": "1",
        "raw_bindings": [json.dumps(each) for each in bindings],
        **more,
    }
    return index_from_worker(SUCCESS, [metadata])


def test_function_and_its_retry_policy() -> None:
    options = {"retry_strategy": "fixed_delay", "max_retry_count": 3, "delay_interval": 5.0}
    (function,) = index(HTTP, HTTP_OUT, retry_options=options).functions
    function.check_supported()
    assert function.trigger.type == "httptrigger"
    assert function.retry == RetryPolicy("fixed_delay", 3, delay_seconds=5.0)


@pytest.mark.parametrize(
    ("bindings", "sentence"),
    [
        ([HTTP_OUT], "has 0 triggers"),
        ([HTTP, {**HTTP, "name": "other"}], "has 2 triggers"),
        ([{"name": "q", "type": "queueTrigger"}], "triggers of type 'queueTrigger' are not supported"),
        ([HTTP, {"name": "o", "type": "blob", "direction": "OUT"}], "output binding 'o' of type 'blob'"),
        ([HTTP, {"name": "i", "type": "table", "direction": "IN"}], "input binding 'i' of type 'table'"),
    ],
)
def test_function_that_cannot_run_says_why(bindings: list[dict[str, Any]], sentence: str) -> None:
    (function,) = index(*bindings).functions
    with pytest.raises(FunctionError, match=sentence):
        function.check_supported()


def test_failed_index_has_the_reason() -> None:
    failed = {"result": {"status": 0, "exception": {"message": "ValueError: x", "stack_trace": "line 1"}}}
    assert index_from_worker(failed, []) == AppIndex((), "ValueError: x\nline 1")


@pytest.mark.parametrize(
    ("count", "limit", "allowed"), [(0, 2, True), (1, 2, True), (2, 2, False), (99, -1, True)]
)
def test_number_of_retries(count: int, limit: int, *, allowed: bool) -> None:
    assert retry.may_retry(RetryPolicy("fixed_delay", limit), count) is allowed


def test_retry_delays() -> None:
    fixed = RetryPolicy("fixed_delay", -1, delay_seconds=5)
    growing = RetryPolicy("exponential_backoff", -1, minimum_seconds=2, maximum_seconds=10)
    assert [retry.delay_seconds(fixed, count) for count in (1, 2, 9)] == [5, 5, 5]
    assert [retry.delay_seconds(growing, count) for count in (1, 2, 3, 4, 1000)] == [2, 4, 8, 10, 10]
    assert retry.delay_seconds(growing, 1, jitter=0.8) == 2  # never below the minimum


def test_restart_delays_grow_and_stay() -> None:
    policy = RestartPolicy(delays_seconds=(0.0, 1.0, 2.0))
    assert [policy.delay_seconds(ends) for ends in (1, 2, 3, 4, 50)] == [0, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("category", "level"),
    [
        ("Function.a.User", logging.ERROR),
        ("Function.a", logging.ERROR),
        ("Function.ab", logging.INFO),
        ("Function", logging.INFO),
        ("Host", logging.WARNING),
    ],
)
def test_longest_rule_decides_what_is_shown(category: str, level: int) -> None:
    rules = {"default": logging.WARNING, "Function": logging.INFO, "Function.a": logging.ERROR}
    assert threshold(rules, category) == level


def test_line_has_a_time_and_the_message_only() -> None:
    stream = io.StringIO()
    console = Console({"default": "Warning"}, stream)
    console.write(logging.INFO, "Host", "hidden")
    console.write(logging.ERROR, "Host", "shown")
    stamp, _, message = stream.getvalue().partition("] ")
    assert stamp.startswith("[20")
    assert stamp.endswith("Z")
    assert message == "shown\n"
