"""Frames on the channel between host and worker: a JSON header, then raw byte attachments.

Layout of a frame (integers are unsigned, big endian)::

    header length: 4 bytes | attachments length: 8 bytes | header: UTF-8 JSON | attachments, one after another

Bytes cannot stand in JSON, so each bytes value in the header is replaced by ``{"$bytes": length}`` and
its content is appended to the attachments, in the order of the header. The receiver reads the header in
the same order. A channel never carries code or pickles: the worker runs the app's code and is not trusted
with the host's memory.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

type Tree = Any
"""JSON values, and bytes anywhere among them."""

PREFIX = struct.Struct("!IQ")
MAX_HEADER_BYTES = 64 * 1024 * 1024
MAX_ATTACHMENTS_BYTES = 4 * 1024 * 1024 * 1024
_MARK = "$bytes"


class FrameError(ValueError):
    """A frame breaks the layout, so nothing after it can be read; the channel must be closed."""


def encode(tree: Tree) -> list[bytes]:
    """The frame of a JSON object as buffers to be written one after another; attachments are not copied."""
    attachments: list[bytes] = []
    header = json.dumps(_detach(tree, attachments), separators=(",", ":")).encode()
    return [PREFIX.pack(len(header), sum(map(len, attachments))), header, *attachments]


def decode(header: bytes, attachments: bytes) -> Tree:
    """The tree of a frame's two parts.

    Raises:
        FrameError: the header is no JSON, or its lengths do not add up to the attachments.
    """
    try:
        tree = json.loads(header)
    except ValueError as error:
        raise FrameError("the header of a frame is not JSON") from error
    reader = _Attachments(attachments)
    tree = _attach(tree, reader)
    if reader.at != len(attachments):
        raise FrameError(f"{len(attachments) - reader.at} bytes of attachments belong to no value")
    return tree


async def read(reader: asyncio.StreamReader) -> Tree:
    """The next frame's tree.

    Raises:
        asyncio.IncompleteReadError: the other end closed the channel.
        FrameError: the frame breaks the layout.
    """
    header_length, attachments_length = PREFIX.unpack(await reader.readexactly(PREFIX.size))
    if header_length > MAX_HEADER_BYTES or attachments_length > MAX_ATTACHMENTS_BYTES:
        raise FrameError(f"a frame of {header_length} + {attachments_length} bytes is over the limit")
    header = await reader.readexactly(header_length)
    return decode(header, await reader.readexactly(attachments_length) if attachments_length else b"")


class _Attachments:
    """Takes values off the attachments in order."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at = 0

    def take(self, length: int) -> bytes:
        end = self.at + length
        if length < 0 or end > len(self._content):
            raise FrameError("a value is longer than the attachments")
        value = self._content[self.at : end]
        self.at = end
        return value


def _detach(tree: Tree, attachments: list[bytes]) -> Tree:
    if isinstance(tree, bytes | bytearray | memoryview):
        attachments.append(bytes(tree))
        return {_MARK: len(attachments[-1])}
    if isinstance(tree, dict):
        return {key: _detach(value, attachments) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_detach(value, attachments) for value in tree]
    return tree


def _attach(tree: Tree, attachments: _Attachments) -> Tree:
    if isinstance(tree, dict):
        # Other one-key objects named like the mark carry text (a header, a query parameter), never a number.
        if len(tree) == 1 and type(tree.get(_MARK)) is int:
            return attachments.take(tree[_MARK])
        return {key: _attach(value, attachments) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_attach(value, attachments) for value in tree]
    return tree
