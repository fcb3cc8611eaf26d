"""Read what is asked about traces: query strings, each error one clear sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from local.app_insights.telemetry import SEARCHED
from local.http_part import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.app_insights.telemetry import TelemetryStore, Trace

MAX_LISTED = 500
DEFAULT_LISTED = 100
FLAGS = {"0": False, "1": True}


def read_identifiers(parameters: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Return the identifiers to search for.

    Raises:
        BadRequest: There is none, or it is of an unknown sort.
    """
    unknown = set(parameters) - set(SEARCHED)
    if unknown or not parameters:
        raise BadRequest(f"Search by one of {', '.join(SEARCHED)}.")
    return list(parameters.items())


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """Which traces the list shows."""

    text: str = ""
    """An identifier, or a part of what the list shows."""
    errors: bool = False
    files: bool = False
    limit: int = DEFAULT_LISTED

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Self:
        """Return the query: ``q``, ``errors``, ``files``, ``limit``.

        Raises:
            BadRequest: A value cannot be used.
        """
        return cls(
            text=parameters.get("q", "").strip().lower(),
            errors=_flag(parameters, "errors"),
            files=_flag(parameters, "files"),
            limit=_limit(parameters.get("limit", str(DEFAULT_LISTED))),
        )

    def candidates(self, store: TelemetryStore) -> Sequence[Trace]:
        """The traces that the text finds, newest first: by identifier if it is one, else by what is shown."""
        if not self.text:
            return store.traces
        for name in SEARCHED:
            if found := store.find([(name, self.text)]):
                return found
        return [trace for trace in store.traces if trace.summary.mentions(self.text)]

    def takes(self, trace: Trace) -> bool:
        """Tell whether the trace is of the sort that is wanted."""
        summary = trace.summary
        return (not self.errors or summary.errors > 0) and (not self.files or summary.is_of_a_file)


def _flag(parameters: Mapping[str, str], name: str) -> bool:
    text = parameters.get(name, "0")
    if text not in FLAGS:
        raise BadRequest(f"'{name}' must be 0 or 1.")
    return FLAGS[text]


def _limit(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LISTED))
    if not is_number or not 1 <= int(text) <= MAX_LISTED:
        raise BadRequest(f"'limit' must be a whole number from 1 to {MAX_LISTED}.")
    return int(text)
