from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.errors import InvalidRequestError, PreconditionFailedError, PreconditionMissingError
from shared.files.file import FileStatus
from shared.web.conditional import (
    EntityTags,
    allows_range,
    check_precondition,
    edits,
    entity_tags,
    is_not_modified,
)
from shared.web.entity_tag import file_tag
from tests.unit.shared import sample
from tests.unit.shared.asgi import request

AT = datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("*", EntityTags(anything=True)),
        ('"a"', EntityTags(strong=frozenset({"a"}))),
        ('W/"a"', EntityTags(weak=frozenset({"a"}))),
        ('"a,b" , W/"c",,"d"', EntityTags(strong=frozenset({"a,b", "d"}), weak=frozenset({"c"}))),
        ('""', EntityTags(strong=frozenset({""}))),
    ],
)
def test_tags_are_read(field: str, expected: EntityTags) -> None:
    assert entity_tags(field) == expected


@pytest.mark.parametrize("field", ["", "a", '"a', '"a" "b"', 'w/"a"', '*, "a"', '"a b"', ","])
def test_what_is_no_list_of_tags_is_not_read(field: str) -> None:
    assert entity_tags(field) is None


def test_progress_of_deliveries_changes_the_tag_and_is_nobodys_edit() -> None:
    before = sample.file(etag="1")
    after = replace(before, etag="2", status=FileStatus.SETTLED)
    assert file_tag(before) != file_tag(after)
    assert edits(request(headers={"if-match": file_tag(before)}), required=True)(after)


def test_an_edit_is_one_also_when_the_row_looks_the_same() -> None:
    before = sample.file(etag="1")
    after = replace(before, revision=1)
    assert not edits(request(headers={"if-match": file_tag(before)}), required=True)(after)


def test_a_revision_of_one_file_is_none_of_another() -> None:
    other = sample.file(id="019cacff-0000-7000-8000-000000000002")
    assert not edits(request(headers={"if-match": file_tag(other)}), required=True)(sample.file())


@pytest.mark.parametrize(
    ("field", "expected"), [("*", True), ('"x", {}', True), ("W/{}", False), ('"x"', False)]
)
def test_if_match_compares_strongly(field: str, expected: bool) -> None:
    file = sample.file()
    wanted = edits(request(headers={"if-match": field.format(file_tag(file))}), required=True)
    assert wanted(file) is expected


def test_if_match_is_asked_for_where_it_is_required_only() -> None:
    with pytest.raises(PreconditionMissingError):
        edits(request(), required=True)
    assert edits(request(), required=False)(sample.file())


@pytest.mark.parametrize("required", [True, False])
def test_an_if_match_that_cannot_be_read_is_not_passed_over(required: bool) -> None:
    with pytest.raises(InvalidRequestError):
        edits(request(headers={"if-match": "no-quotes"}), required=required)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"if-none-match": '"t"'}, True),
        ({"if-none-match": 'W/"t"'}, True),
        ({"if-none-match": "*"}, True),
        ({"if-none-match": '"u"'}, False),
        ({"if-none-match": "t"}, False),
        ({"if-modified-since": "Sun, 01 Mar 2026 12:00:00 GMT"}, True),
        ({"if-modified-since": "Sun, 01 Mar 2026 11:59:59 GMT"}, False),
        ({"if-modified-since": "yesterday"}, False),
        ({"if-modified-since": "Sun, 01 Mar 2026 12:00:00 +99999999999999999999"}, False),
        ({"if-modified-since": "Mon, 01 Jan 0001 00:00:00 +2359"}, False),
        ({"if-modified-since": "Fri, 31 Dec 9999 23:59:59 -2359"}, True),
        ({"if-none-match": '"u"', "if-modified-since": "Sun, 01 Mar 2026 12:00:00 GMT"}, False),
    ],
)
def test_what_the_client_holds_is_not_sent_again(headers: dict[str, str], expected: bool) -> None:
    assert is_not_modified(request(headers=headers), '"t"', AT) is expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, True),
        ({"if-range": '"t"'}, True),
        ({"if-range": 'W/"t"'}, False),
        ({"if-range": '"u"'}, False),
        ({"if-range": "Sun, 01 Mar 2026 12:00:00 GMT"}, False),
    ],
)
def test_a_range_is_for_those_who_hold_a_part_of_the_same_bytes(
    headers: dict[str, str], expected: bool
) -> None:
    assert allows_range(request(headers=headers), '"t"') is expected


def test_a_client_can_insist_on_the_bytes_that_it_knows() -> None:
    check_precondition(request(headers={"if-match": '"t"'}), '"t"')
    with pytest.raises(PreconditionFailedError):
        check_precondition(request(headers={"if-match": '"u"'}), '"t"')
