from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RangeNotSatisfiableError
from shared.web.byte_range import ByteRange, byte_range


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 0)),
        ("bytes=2-5", ByteRange(2, 5)),
        ("bytes=9-", ByteRange(9, 9)),
        ("bytes=5-99", ByteRange(5, 9)),
        ("bytes=5-" + "9" * 5000, ByteRange(5, 9)),
        ("bytes=-3", ByteRange(7, 9)),
        ("bytes=-99", ByteRange(0, 9)),
        ("BYTES=0-1", ByteRange(0, 1)),
        ("bytes= 0-1 ,", ByteRange(0, 1)),
        ("bytes=0000000000000000000000001-2", ByteRange(1, 2)),
    ],
)
def test_one_range_is_found(field: str, expected: ByteRange) -> None:
    assert byte_range(field, 10) == expected


@pytest.mark.parametrize(
    "field",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-2",
        "bytes=0-1,3-4",
        "bytes=a-b",
        "bytes=0x1-2",
        "bytes=+1-2",
        "bytes=1 -2",
        "bytes=\u0661-2",
        "lines=0-1",
        "0-1",
    ],
)
def test_what_is_not_one_range_asks_for_the_whole(field: str | None) -> None:
    assert byte_range(field, 10) is None


@pytest.mark.parametrize("field", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=" + "9" * 5000 + "-"])
def test_a_range_without_a_byte_is_refused_with_the_size(field: str) -> None:
    with pytest.raises(RangeNotSatisfiableError) as refused:
        byte_range(field, 10)
    assert refused.value.headers == {"content-range": "bytes */10"}


def test_nothing_can_be_asked_of_an_empty_file_but_its_end() -> None:
    assert byte_range("bytes=-5", 0) is None
    with pytest.raises(RangeNotSatisfiableError):
        byte_range("bytes=0-", 0)


@given(st.integers(1, 1000), st.integers(0, 2000), st.integers(0, 2000))
def test_a_range_is_what_a_slice_would_be(size_bytes: int, first: int, last: int) -> None:
    content = bytes(index % 256 for index in range(size_bytes))
    expected = content[first : last + 1]
    try:
        found = byte_range(f"bytes={first}-{last}", size_bytes)
    except RangeNotSatisfiableError:
        assert first >= size_bytes
        assert last >= first
        return
    if found is None:
        assert last < first
        return
    assert content[found.first : found.last + 1] == expected
    assert found.size_bytes == len(expected)
    assert found.content_range(size_bytes) == f"bytes {found.first}-{found.last}/{size_bytes}"
