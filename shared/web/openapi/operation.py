"""The words in which an operation is described: what it takes and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel

type JsonSchema = Mapping[str, Any]
"""A JSON Schema, dialect 2020-12."""
type Body = type[BaseModel] | JsonSchema
"""A model, or a schema for what is no JSON."""

BINARY: Final[JsonSchema] = {}
"""Any bytes (OpenAPI 3.1 §4.8.14.2: a media type that is no JSON needs no schema)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or header field.

    Args:
        name: As it is sent.
        where: In the query or the header.
        type: The type that its text is read as, with its constraints; its schema is pydantic's.
        meaning: One sentence.
        required: Whether the request is refused without it.
        example: A good value.
    """

    name: str
    where: Literal["query", "header"]
    type: Any
    meaning: str
    required: bool = False
    example: str | int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request's body: one schema for each media type that is taken."""

    content: Mapping[str, Body]
    required: bool = True
    meaning: str = ""
    example: Any = None
    """Of the first media type."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A success.

    Args:
        meaning: When it comes.
        content: One schema for each media type; empty for an answer without content.
        headers: Names out of the table of header fields; those that are always there.
        optional_headers: Likewise; those that can be there.
    """

    meaning: str
    content: Mapping[str, Body] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    optional_headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route does, for readers.

    Args:
        tag: The chapter that it is in.
        summary: A few words.
        answers: The successes by status.
        meaning: More sentences, CommonMark.
        parameters: Beside those of the path, which the route itself tells.
        request: The body it takes, if any.
        problems: Codes of the error catalogue that it can answer, beside those of every route.
        example: The options of a ``curl`` command that shows it.
    """

    tag: str
    summary: str
    answers: Mapping[int, Answer]
    meaning: str = ""
    parameters: tuple[Parameter, ...] = ()
    request: Request | None = None
    problems: tuple[str, ...] = ()
    example: tuple[str, ...] = ()
