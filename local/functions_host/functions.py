"""What the worker says about the app's functions: bindings, retry policy, and what this host cannot run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HTTP_TRIGGER = "httptrigger"
BLOB_TRIGGER = "blobtrigger"
SERVICE_BUS_TRIGGER = "servicebustrigger"
TIMER_TRIGGER = "timertrigger"
TRIGGERS = frozenset({HTTP_TRIGGER, BLOB_TRIGGER, SERVICE_BUS_TRIGGER, TIMER_TRIGGER})
"""Trigger types that this host can listen to, in lower case."""


class FunctionError(ValueError):
    """One function cannot run here; the sentence says why. The others are not affected."""


@dataclass(frozen=True)
class Binding:
    """One binding of a function, with its settings as the worker gave them (function.json names)."""

    name: str
    type: str
    """In lower case."""
    direction: str
    """``in``, ``out`` or ``inout``."""
    settings: Mapping[str, Any]

    @property
    def is_deferred(self) -> bool:
        """Whether the worker wants a reference instead of the data (an SDK type)."""
        return (self.settings.get("properties") or {}).get("SupportsDeferredBinding") is True

    def text(self, name: str, default: str = "") -> str:
        """A setting as text."""
        value = self.settings.get(name)
        return default if value is None else str(value)


@dataclass(frozen=True)
class RetryPolicy:
    """``@app.retry``: how often and how far apart the host calls a failed function again."""

    strategy: str
    """``fixed_delay`` or ``exponential_backoff``."""
    max_retry_count: int
    """-1 means without end."""
    delay_seconds: float = 0.0
    minimum_seconds: float = 0.0
    maximum_seconds: float = 0.0


@dataclass(frozen=True)
class FunctionDefinition:
    """One indexed function."""

    name: str
    id: str
    bindings: tuple[Binding, ...]
    retry: RetryPolicy | None = None
    script_file: str = ""
    raw_bindings: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    @property
    def trigger(self) -> Binding:
        """The one binding that starts the function.

        Raises:
            FunctionError: it has none, or more than one.
        """
        triggers = [binding for binding in self.bindings if binding.type.endswith("trigger")]
        if len(triggers) != 1:
            raise FunctionError(f"Function '{self.name}' has {len(triggers)} triggers; it needs exactly one.")
        return triggers[0]

    def check_supported(self) -> None:
        """Refuse bindings that this host does not carry out.

        Raises:
            FunctionError: names the binding and what is supported.
        """
        trigger = self.trigger
        if trigger.type not in TRIGGERS:
            raise FunctionError(
                f"Function '{self.name}': triggers of type '{trigger.settings.get('type')}' are not supported"
                " here; HTTP, blob, Service Bus and timer triggers are."
            )
        for binding in self.bindings:
            if binding is trigger or (binding.type == "http" and trigger.type == HTTP_TRIGGER):
                continue
            raise FunctionError(
                f"Function '{self.name}': the {binding.direction}put binding '{binding.name}' of type"
                f" '{binding.settings.get('type')}' is not supported here; call the service's SDK instead."
            )


@dataclass(frozen=True)
class AppIndex:
    """The outcome of indexing an app."""

    functions: tuple[FunctionDefinition, ...]
    error: str | None = None
    """Why the app could not be indexed, with the stack of the app's exception."""


def index_from_worker(started: Mapping[str, Any], functions: Iterable[Mapping[str, Any]]) -> AppIndex:
    """The index from the worker's answers to the requests for initialisation and metadata."""
    result = started.get("result") or {}
    if result.get("status") != 1:
        exception = result.get("exception") or {}
        text = "\n".join(part for part in (exception.get("message"), exception.get("stack_trace")) if part)
        return AppIndex(functions=(), error=text or "The worker gave no reason.")
    return AppIndex(functions=tuple(_definition(metadata) for metadata in functions))


def _definition(metadata: Mapping[str, Any]) -> FunctionDefinition:
    raw = tuple(json.loads(text) for text in metadata.get("raw_bindings") or ())
    return FunctionDefinition(
        name=metadata["name"],
        id=metadata["function_id"],
        bindings=tuple(_binding(settings) for settings in raw),
        retry=_retry(metadata.get("retry_options")),
        script_file=metadata.get("script_file") or "",
        raw_bindings=raw,
    )


def _binding(settings: Mapping[str, Any]) -> Binding:
    return Binding(
        name=str(settings.get("name", "")),
        type=str(settings.get("type", "")).lower(),
        direction=str(settings.get("direction", "in")).lower(),
        settings=settings,
    )


def _retry(options: Mapping[str, Any] | None) -> RetryPolicy | None:
    if not options:
        return None
    return RetryPolicy(
        strategy=options.get("retry_strategy") or "fixed_delay",
        max_retry_count=int(options.get("max_retry_count", 0)),
        delay_seconds=float(options.get("delay_interval", 0)),
        minimum_seconds=float(options.get("minimum_interval", 0)),
        maximum_seconds=float(options.get("maximum_interval", 0)),
    )
