"""Read what callers ask of the inbox: query strings and JSON bodies, each error one clear sentence."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    model_validator,
)

from local.http_part import BadRequest, RequestBody
from local.inbox.behaviour import OK_STATUS, Answer, Behaviour
from local.inbox.messages import Channel, truncate_to_ms
from local.inbox.signatures import EVERY_PATH, parse_secret
from local.inbox.store import MAX_MESSAGES, Query

if TYPE_CHECKING:
    from collections.abc import Mapping

HOOKS = "/hooks/"
MAX_DELAY_SECONDS = 600
MAX_WAIT_SECONDS = 300
DEFAULT_WAIT_SECONDS = 10.0

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name: RFC 9110, section 5.6.2."""
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "upgrade"})


def _hook_path(path: str) -> str:
    if path != EVERY_PATH and not path.startswith(HOOKS):
        raise ValueError(f"must be '{EVERY_PATH}' or start with '{HOOKS}'")
    return path


def _header_fields(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not value.isprintable():
            raise ValueError(f"{name!r} is not a valid header field")
        if name.lower() in _FRAMING:
            raise ValueError(f"{name!r} frames the answer and cannot be chosen")
    return headers


class SecretRequest(RequestBody):
    """``POST /secrets``."""

    path: Annotated[str, AfterValidator(_hook_path)] = EVERY_PATH
    secret: Annotated[str, AfterValidator(parse_secret)]


class BehaviourRequest(RequestBody):
    """``POST /behaviour``; ``count`` null or absent means until changed."""

    reset: bool = False
    channel: Annotated[Channel, Field(strict=False)] = Channel.WEBHOOK
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    delay_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=MAX_DELAY_SECONDS,
            allow_inf_nan=False,
            validation_alias=AliasChoices("delay_seconds", "delay"),
        ),
    ] = 0.0
    count: Annotated[int, Field(ge=0)] | None = None
    path: Annotated[str, AfterValidator(_hook_path)] | None = None
    headers: Annotated[dict[str, str], AfterValidator(_header_fields)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_the_channel(self) -> Self:
        if self.channel is Channel.EMAIL:
            if self.path is not None or self.headers:
                raise ValueError("'path' and 'headers' apply to the webhook channel only")
            if self.status is not None and self.status != OK_STATUS[Channel.EMAIL] and self.status < 400:
                raise ValueError("'status' of the email channel must be 250 or an SMTP error from 400 to 599")
        return self

    def behaviour(self) -> Behaviour:
        """Return what was asked for; without ``status`` the answer stays the normal one."""
        status = OK_STATUS[self.channel] if self.status is None else self.status
        return Behaviour(
            channel=self.channel,
            answer=Answer(status, self.delay_seconds, self.headers),
            count=self.count,
            path=None if self.path == EVERY_PATH else self.path,
        )


def read_query(parameters: Mapping[str, str]) -> Query:
    """Return the filter in a query string: ``channel``, ``path``, ``since``, ``limit``.

    Raises:
        BadRequest: A value cannot be used.
    """
    channel = parameters.get("channel")
    if channel is not None and channel not in list(Channel):
        raise BadRequest(f"'channel' must be one of {', '.join(Channel)}.")
    since = parameters.get("since")
    return Query(
        channel=None if channel is None else Channel(channel),
        path=parameters.get("path"),
        since=None if since is None else _moment(since),
        limit=read_number(parameters, "limit", minimum=1, maximum=MAX_MESSAGES, default=None),
    )


def read_number(
    parameters: Mapping[str, str], name: str, *, minimum: int, maximum: int, default: int | None
) -> int | None:
    """Return the whole number called ``name``, or ``default`` when it is absent.

    Raises:
        BadRequest: It is not a whole number within the bounds.
    """
    text = parameters.get(name)
    if text is None:
        return default
    # Nine digits: what is longer is out of bounds anyway, and costs nothing to refuse.
    if not re.fullmatch(r"[0-9]{1,9}", text) or not minimum <= int(text) <= maximum:
        raise BadRequest(f"'{name}' must be a whole number from {minimum} to {maximum}.")
    return int(text)


def read_timeout_seconds(parameters: Mapping[str, str]) -> float:
    """Return ``timeout_seconds``, how long a long poll may take.

    Raises:
        BadRequest: It is not a number within the bounds.
    """
    text = parameters.get("timeout_seconds")
    if text is None:
        return DEFAULT_WAIT_SECONDS
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or float(text) > MAX_WAIT_SECONDS:
        raise BadRequest(f"'timeout_seconds' must be a number from 0 to {MAX_WAIT_SECONDS}.")
    return float(text)


def _moment(text: str) -> datetime:
    try:
        # A '+' that was not percent-encoded arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return truncate_to_ms(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        raise BadRequest("'since' must be a time as in RFC 3339, such as 2026-01-31T12:00:00.000Z.") from None
