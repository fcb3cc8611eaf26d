"""A form that holds one file (RFC 7578), read as it arrives: fields first, then the file, then nothing."""

from __future__ import annotations

import re
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING

import multipart  # type: ignore[import-untyped]  # the package ships no types

from shared.errors import InvalidRequestError
from shared.files.content_type import checked_content_type
from shared.files.name import checked_name
from shared.web.content_disposition import file_name

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from multipart import MultipartSegment

    type Event = MultipartSegment | bytes | bytearray | None

MAX_FIELDS = 32
MAX_FIELDS_BYTES = 64 * 1024
"""Of the fields' values, and of all that stands before the file but for the last chunk of it."""
MAX_HEADER_FIELDS = 16
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
"""RFC 2046 §5.1.1."""
_LINE_END = b"\r\n"


class Form:
    """The form, read as far as the beginning of the file."""

    def __init__(self, reader: _Reader, fields: Mapping[str, str], file: MultipartSegment) -> None:
        self._reader = reader
        self.fields = fields
        """Those that come before the file, by name."""
        self._file = file

    @property
    def file_name(self) -> str:
        """The file's checked name; raises InvalidRequestError (``invalid-name``)."""
        disposition = self._file.header("Content-Disposition", "")
        # RFC 7578 §4.2 forbids filename*, and some clients send it.
        return (
            file_name(disposition) if _is_extended(disposition) else checked_name(self._file.filename or "")
        )

    @property
    def content_type(self) -> str:
        """The file's checked media type; raises UnsupportedMediaTypeError."""
        return checked_content_type(self._file.header("Content-Type"))

    async def content(self) -> AsyncGenerator[bytes]:
        """The file's bytes; at their end the form must end, too.

        Raises InvalidRequestError (``invalid-form``), and whatever reading the body raises.
        """
        async with aclosing(self._reader.events()) as events:
            async for event in events:
                if event is None:
                    await self._reader.expect_end()
                    return
                if not isinstance(event, (bytes, bytearray)):
                    raise _invalid("the file's part is not closed")
                yield bytes(event)
        raise _invalid("it ends in the middle")


async def open_form(body: AsyncIterator[bytes], content_type: str) -> Form:
    """Read the form's fields; raises InvalidRequestError (``invalid-form``) when it has no file."""
    reader = _Reader(body, _boundary(content_type))
    fields: dict[str, str] = {}
    field: MultipartSegment | None = None
    value = bytearray()
    fields_bytes = 0
    async with aclosing(reader.events()) as events:
        async for event in events:
            if isinstance(event, multipart.MultipartSegment):
                if event.filename is not None or _is_extended(event.header("Content-Disposition", "")):
                    reader.at_file = True
                    return Form(reader, fields, event)
                field, value = event, bytearray()
            elif event is not None:
                value += event
                fields_bytes += len(event)
                if fields_bytes > MAX_FIELDS_BYTES:
                    raise _too_much()
            elif field is not None:
                _keep(fields, str(field.name), bytes(value))
    raise _invalid("it holds no file; a part with a filename is one")


def _keep(fields: dict[str, str], name: str, value: bytes) -> None:
    if name in fields:
        raise _invalid("a field is there twice")
    if len(fields) == MAX_FIELDS:
        raise _invalid(f"it has more than {MAX_FIELDS} fields")
    try:
        fields[name] = value.decode()
    except UnicodeDecodeError:
        raise _invalid("a field is not text in UTF-8") from None


class _Reader:
    """Feeds the parser, and knows what follows the end that the parser stops at."""

    def __init__(self, body: AsyncIterator[bytes], boundary: str) -> None:
        self._body = body
        self._end = b"\r\n--" + boundary.encode() + b"--"
        try:
            self._parser = multipart.PushMultipartParser(
                boundary, max_header_count=MAX_HEADER_FIELDS, max_segment_count=MAX_FIELDS + 1
            )
        except multipart.MultipartError as error:
            raise _invalid(str(error)) from None
        self._pending: deque[Event] = deque()
        self._seen = b""
        """The present chunk, and of the one before as much as can belong to the form's end."""
        self._fed_bytes = 0
        self.at_file = False
        """From here on any number of bytes may come."""

    async def events(self) -> AsyncGenerator[Event]:
        """The parser's events: a segment for each part, its bytes, None for its end."""
        while True:
            while self._pending:
                yield self._pending.popleft()
            if self._fed_bytes > MAX_FIELDS_BYTES and not self.at_file:
                raise _too_much()
            chunk = await anext(self._body, None)
            if chunk is None:
                return
            self._feed(chunk)

    def _feed(self, chunk: bytes) -> None:
        self._fed_bytes += len(chunk)
        self._seen = self._seen[-len(self._end) - len(_LINE_END) :] + chunk
        try:
            self._pending.extend(self._parser.parse(chunk))
        except multipart.MultipartError as error:
            raise _invalid(str(error)) from None

    async def expect_end(self) -> None:
        """Raise InvalidRequestError unless the form ends here, with a line end at most behind it."""
        try:
            self._parser.close()
            is_last_part = not self._pending
        except multipart.MultipartError:
            is_last_part = False
        if not is_last_part:
            raise _invalid("something follows the file; send one file, as the last part")
        _, _, rest = self._seen.partition(self._end)
        async for chunk in self._body:
            rest += chunk
            if len(rest) > len(_LINE_END):
                break
        if rest not in {b"", _LINE_END}:
            raise _invalid("something follows its end")


def _boundary(content_type: str) -> str:
    boundary = multipart.parse_options_header(content_type)[1].get("boundary", "")
    if _BOUNDARY.fullmatch(boundary) is None:
        raise _invalid("Content-Type names no boundary that could be one (RFC 2046 §5.1.1)")
    return str(boundary)


def _is_extended(disposition: str) -> bool:
    return re.search(r";\s*filename\*\s*=", disposition, re.IGNORECASE) is not None


def _too_much() -> InvalidRequestError:
    return _invalid("too much comes before the file")


def _invalid(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"The form cannot be read: {why}.", code="invalid-form")
