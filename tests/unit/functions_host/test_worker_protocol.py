"""Frames, and the stand-ins for protobuf messages."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.functions_host.functions_worker import frames, protos, wire

trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner.filter(lambda value: type(value) is not int))
    ),
    max_leaves=20,
)


async def read(data: bytes) -> Any:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await frames.read(reader)


@given(trees)
def test_frame_comes_back_as_it_was(tree: Any) -> None:
    assert asyncio.run(read(b"".join(frames.encode({"tree": tree})))) == {"tree": tree}


def test_header_named_like_the_mark_stays_text() -> None:
    tree = {"headers": {"$bytes": "3"}}
    assert asyncio.run(read(b"".join(frames.encode(tree)))) == tree


@pytest.mark.parametrize(
    ("header", "attachments"),
    [
        (b"{", b""),
        (b"\xff", b""),
        (b'{"a":{"$bytes":3}}', b"ab"),
        (b'{"a":{"$bytes":-1}}', b""),
        (b"{}", b"left over"),
    ],
)
def test_broken_frame_is_refused(header: bytes, attachments: bytes) -> None:
    with pytest.raises(frames.FrameError):
        frames.decode(header, attachments)


async def test_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(frames.FrameError, match="over the limit"):
        await read(frames.PREFIX.pack(frames.MAX_HEADER_BYTES + 1, 0))


async def test_end_in_mid_frame_is_no_frame() -> None:
    whole = b"".join(frames.encode({"a": b"123"}))
    with pytest.raises(asyncio.IncompleteReadError):
        await read(whole[:-1])


def test_unknown_field_is_refused_on_both_sides() -> None:
    with pytest.raises(TypeError, match="StatusResult has no field nonsense"):
        protos.StatusResult(nonsense=1)
    with pytest.raises(AttributeError, match="StatusResult has no field nonsense"):
        _ = protos.StatusResult(status=1).nonsense


def test_field_that_was_not_given_has_its_default() -> None:
    http = protos.RpcHttp()
    assert (http.method, http.headers, http.cookies) == ("", {}, [])
    assert http.body.WhichOneof("data") is None


def test_typed_data_knows_its_kind_and_no_class_of_its_own() -> None:
    data = wire.typed_data({"json": "2"})
    assert (data.WhichOneof("data"), data.json) == ("json", "2")
    assert not hasattr(data, "TypedData")  # the library would take it for the namespace


@pytest.mark.parametrize(
    ("tree", "kind", "path", "value"),
    [
        ({"collection_bytes": [b"a"]}, "collection_bytes", "bytes", [b"a"]),
        ({"collection_sint64": [1, 2]}, "collection_sint64", "sint64", [1, 2]),
        (
            {"model_binding_data": {"version": "1.0", "content": b"{}"}},
            "model_binding_data",
            "content",
            b"{}",
        ),
    ],
)
def test_typed_data_of_collections_and_references(tree: Any, kind: str, path: str, value: Any) -> None:
    data = wire.typed_data(tree)
    assert data.WhichOneof("data") == kind
    assert getattr(getattr(data, kind), path) == value


def test_tree_of_a_message_has_what_was_given() -> None:
    message = protos.RpcFunctionMetadata(
        name="f",
        is_proxy=False,
        raw_bindings=["{}"],
        retry_options=protos.RpcRetryOptions(max_retry_count=2, delay_interval=timedelta(seconds=5)),
    )
    assert wire.to_tree(message) == {
        "name": "f",
        "is_proxy": False,
        "raw_bindings": ["{}"],
        "retry_options": {"max_retry_count": 2, "delay_interval": 5.0},
    }


def test_invocation_carries_trace_and_retry() -> None:
    message = wire.invocation(
        {
            "invocation_id": "i",
            "function_id": "f",
            "inputs": {"req": {"string": "x"}},
            "trigger_metadata": {"Key": {"json": "1"}},
            "trace_context": {"trace_parent": "00-a-b-01"},
            "retry": {"retry_count": 1, "max_retry_count": 3, "exception": {"message": "m"}},
        }
    )
    assert message.input_data[0].data.string == "x"
    assert message.trace_context.trace_parent == "00-a-b-01"
    assert (message.retry_context.retry_count, message.retry_context.exception.message) == (1, "m")
