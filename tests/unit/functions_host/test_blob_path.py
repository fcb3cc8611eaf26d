from __future__ import annotations

import pytest

from local.functions_host.blob_path import BlobPathError, parse_blob_path


@pytest.mark.parametrize(
    ("pattern", "blob", "values"),
    [
        ("c/{name}", "c/a.txt", {"name": "a.txt"}),
        ("c/{name}", "c/a/b.txt", {"name": "a/b.txt"}),
        ("c/{name}", "d/a.txt", None),
        ("c/{owner}/{file}", "c/alice/x/y", {"owner": "alice", "file": "x/y"}),
        ("c/{owner}/{file}", "c/alice", None),
        ("c/{name}.{ext}", "c/a.b.txt", {"name": "a", "ext": "b.txt"}),
        ("c/original-{name}", "c/original-1", {"name": "1"}),
        ("c/original-{name}", "c/copy-1", None),
        ("c/{name}.png", "c/a.png", {"name": "a"}),
        ("c/{name}.png", "c/aXpng", None),
        ("c/fixed", "c/fixed", {}),
        ("c", "c/anything/at all", {}),
        ("/c/{name}", "c/a", {"name": "a"}),
    ],
)
def test_match(pattern: str, blob: str, values: dict[str, str] | None) -> None:
    container, _, name = blob.partition("/")
    assert parse_blob_path(pattern).match(container, name) == values


@pytest.mark.parametrize("pattern", ["", "/", "{container}/{name}", "c/{name", "c/{a}{a}", "c/{a b}"])
def test_bad_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BlobPathError, match="The blob path"):
        parse_blob_path(pattern)
