"""Runs a function in a worker: time limit, retry policy, and the two lines that every run writes."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from local.functions_host import retry
from local.functions_host.activity import Activity
from local.functions_host.worker_pool import NoWorkerError
from local.functions_host.worker_process import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.functions_host.console import Console
    from local.functions_host.functions import FunctionDefinition
    from local.functions_host.worker_pool import WorkerPool
    from local.functions_host.worker_process import WorkerProcess

type TypedData = Mapping[str, Any]
"""``{kind: value}`` with a kind of the worker's protocol: string, json, bytes, http, model_binding_data, …"""


@dataclass(frozen=True)
class Failure:
    """Why an invocation failed, in the words that the function's exception used."""

    message: str
    stack_trace: str = ""


@dataclass(frozen=True)
class Invocation:
    """One run of a function that is to be made."""

    function: FunctionDefinition
    inputs: Mapping[str, TypedData]
    trigger_metadata: Mapping[str, TypedData] = field(default_factory=dict)
    reason: str = "This function was programmatically called via the host APIs."
    trace_parent: str = ""
    trace_state: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    retry_context: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended."""

    return_value: Mapping[str, Any] | None = None
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failure: Failure | None = None
    is_worker_lost: bool = False
    """The worker ended in mid-run, or none was there: nothing is known about the function itself."""

    @property
    def succeeded(self) -> bool:
        """Whether the function returned."""
        return self.failure is None


class Invoker:
    """Runs invocations; the only caller of workers once they are ready."""

    def __init__(self, pool: WorkerPool, console: Console, *, timeout_seconds: float | None) -> None:
        self._pool = pool
        self._console = console
        self._timeout_seconds = timeout_seconds
        self._running: dict[str, str] = {}
        self.activity = Activity()
        """The invocations under way, waits between retries left out."""

    def category(self, invocation_id: str | None) -> str:
        """The log category of an app's record: the function that wrote it, when that is known."""
        return f"Function.{self._running.get(invocation_id or '', 'App')}.User"

    async def run(self, invocation: Invocation) -> Outcome:
        """Run a function, again after failures as its retry policy says; never raises."""
        policy = invocation.function.retry
        if policy is None:
            return await self.run_once(invocation)
        retry_count = 0
        last_failure: Failure | None = None
        while True:
            outcome = await self.run_once(
                replace(
                    invocation,
                    id=invocation.id if retry_count == 0 else str(uuid.uuid4()),
                    retry_context=_retry_context(retry_count, policy.max_retry_count, last_failure),
                )
            )
            # A lost worker is no answer of the function: the trigger's own redelivery takes over at once.
            if outcome.succeeded or outcome.is_worker_lost or not retry.may_retry(policy, retry_count):
                return outcome
            retry_count += 1
            last_failure = outcome.failure
            wait = retry.delay_seconds(policy, retry_count, random.uniform(0.8, 1.2))  # noqa: S311 - not secret
            self._write(
                logging.WARNING,
                invocation.function.name,
                f"Retry {retry_count} of 'Functions.{invocation.function.name}' follows in {wait:.3f} s",
            )
            await asyncio.sleep(wait)

    async def run_once(self, invocation: Invocation) -> Outcome:
        """Run a function one time on any worker; never raises."""
        try:
            worker = await self._pool.pick()
        except NoWorkerError as error:
            self._write(logging.ERROR, invocation.function.name, str(error))
            return Outcome(failure=Failure(str(error)), is_worker_lost=True)
        return await self.run_on(worker, invocation)

    async def run_on(self, worker: WorkerProcess, invocation: Invocation) -> Outcome:
        """Run a function one time on this worker; never raises."""
        name = invocation.function.name
        self._running[invocation.id] = name
        self._write(
            logging.INFO,
            name,
            f"Executing 'Functions.{name}' (Reason='{invocation.reason}', Id={invocation.id})",
        )
        started = time.monotonic()
        try:
            with self.activity:
                outcome = await self._call(worker, invocation)
        finally:
            del self._running[invocation.id]
        milliseconds = round((time.monotonic() - started) * 1000)
        result = "Succeeded" if outcome.succeeded else "Failed"
        text = f"Executed 'Functions.{name}' ({result}, Id={invocation.id}, Duration={milliseconds}ms)"
        self._write(logging.INFO if outcome.succeeded else logging.ERROR, name, text)
        if outcome.failure is not None:
            self._write(logging.ERROR, name, _failure_text(name, outcome.failure))
        return outcome

    async def _call(self, worker: WorkerProcess, invocation: Invocation) -> Outcome:
        request = {
            "type": "invoke",
            "invocation_id": invocation.id,
            "function_id": invocation.function.id,
            "inputs": invocation.inputs,
            "trigger_metadata": invocation.trigger_metadata,
            "trace_context": {
                "trace_parent": invocation.trace_parent or new_trace_parent(),
                "trace_state": invocation.trace_state,
                "attributes": {"OperationName": invocation.function.name, "ProcessId": str(worker.pid)},
            },
            "retry": invocation.retry_context,
        }
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await worker.call(request)
        except WorkerLostError as error:
            return Outcome(failure=Failure(str(error)), is_worker_lost=True)
        except TimeoutError:
            name = invocation.function.name
            # A function cannot be interrupted from outside, so its worker goes, as in Azure.
            worker.kill(f"function '{name}' ran longer than functionTimeout ({self._timeout_seconds:g} s)")
            limit = f"Timeout value of {self._timeout_seconds:g} s"
            return Outcome(failure=Failure(f"FunctionTimeoutException: {limit} was exceeded by {name}"))
        return _outcome(answer)

    def _write(self, level: int, function: str, text: str) -> None:
        self._console.write(level, f"Function.{function}", text)


def new_trace_parent(trace_id: str | None = None) -> str:
    """A W3C ``traceparent`` with a new span, in a new trace unless one is given (32 hex digits)."""
    return f"00-{trace_id or secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def _outcome(answer: Mapping[str, Any]) -> Outcome:
    result = answer.get("result") or {}
    if result.get("status") != 1:
        exception = result.get("exception") or {}
        return Outcome(
            failure=Failure(
                exception.get("message") or "The worker gave no reason.", exception.get("stack_trace") or ""
            )
        )
    return Outcome(
        return_value=answer.get("return_value"),
        outputs={output["name"]: output.get("data") or {} for output in answer.get("output_data") or ()},
    )


def _retry_context(retry_count: int, max_retry_count: int, failure: Failure | None) -> dict[str, Any]:
    context: dict[str, Any] = {"retry_count": retry_count, "max_retry_count": max_retry_count}
    if failure is not None:
        context["exception"] = {"message": failure.message, "stack_trace": failure.stack_trace, "source": ""}
    return context


def _failure_text(name: str, failure: Failure) -> str:
    lines = [
        f"Exception while executing function: Functions.{name}. Result: Failure",
        f"Exception: {failure.message}",
    ]
    if failure.stack_trace:
        lines.append(f"Stack: {failure.stack_trace.rstrip()}")
    return "\n".join(lines)
