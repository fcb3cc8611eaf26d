"""Reading the service's JSON: known fields are checked, unknown ones kept, so that old clients live on."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dropbell.errors import UnexpectedAnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Fields:
    """Takes known fields out of one JSON object; ``rest`` are those nobody asked for.

    Args:
        body: A JSON value as decoded.
        what: What it should be, for error sentences: ``file``, ``subscription``.

    Raises:
        UnexpectedAnswerError: The value is not an object, or a field is missing or of the wrong type.
    """

    def __init__(self, body: object, what: str) -> None:
        if not isinstance(body, dict):
            raise UnexpectedAnswerError(f"The service's answer is not a {what}; check the address.")
        self._what = what
        self.rest: dict[str, Any] = dict(body)

    def text(self, name: str) -> str:
        """Take a required string."""
        value = self.rest.pop(name, None)
        if not isinstance(value, str):
            raise self._unusable(name)
        return value

    def optional_text(self, name: str) -> str | None:
        """Take a string that may be absent or null."""
        return None if self._absent(name) else self.text(name)

    def integer(self, name: str) -> int:
        """Take a required whole number."""
        value = self.rest.pop(name, None)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._unusable(name)
        return value

    def optional_integer(self, name: str) -> int | None:
        """Take a whole number that may be absent or null."""
        return None if self._absent(name) else self.integer(name)

    def optional_time(self, name: str) -> datetime | None:
        """Take a time (RFC 3339) that may be absent or null."""
        if self._absent(name):
            return None
        try:
            return datetime.fromisoformat(self.text(name))
        except ValueError as error:
            raise self._unusable(name) from error

    def array(self, name: str) -> tuple[Any, ...]:
        """Take a list; absent or null means empty."""
        if self._absent(name):
            return ()
        value = self.rest.pop(name)
        if not isinstance(value, list):
            raise self._unusable(name)
        return tuple(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Take a list of strings; absent or null means empty."""
        values = self.array(name)
        if not all(isinstance(value, str) for value in values):
            raise self._unusable(name)
        return values

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Take an object; absent or null means empty."""
        if self._absent(name):
            return {}
        value = self.rest.pop(name)
        if not isinstance(value, dict):
            raise self._unusable(name)
        return value

    def _absent(self, name: str) -> bool:
        if self.rest.get(name) is not None:
            return False
        self.rest.pop(name, None)
        return True

    def _unusable(self, name: str) -> UnexpectedAnswerError:
        return UnexpectedAnswerError(f"The service's {self._what} has no usable {name!r}.")


def to_json(value: Any) -> Any:
    """Write a record, a dataclass with ``extra``, as the JSON object it was read from."""
    if dataclasses.is_dataclass(value):
        known = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {**known.pop("extra", {}), **{name: to_json(item) for name, item in known.items()}}
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value
