from __future__ import annotations

import pytest

from shared.errors import UnsupportedMediaTypeError
from shared.files.content_type import (
    DEFAULT_CONTENT_TYPE,
    MAX_CONTENT_TYPE_CHARACTERS,
    checked_content_type,
    essence,
    is_form,
)


@pytest.mark.parametrize(
    "header",
    [
        "image/png",
        "text/plain; charset=utf-8",
        "text/plain;charset=utf-8;format=flowed",
        'text/plain ; title="a \\"quoted\\" ; title"',
        "application/vnd.api+json; ext=x;",
        "a/b" + ";p=" + "v" * (MAX_CONTENT_TYPE_CHARACTERS - 6),
    ],
)
def test_a_media_type_is_taken_as_it_is(header: str) -> None:
    assert checked_content_type(header) == header


@pytest.mark.parametrize("header", [None, "", "   "])
def test_no_type_means_bytes(header: str | None) -> None:
    assert checked_content_type(header) == DEFAULT_CONTENT_TYPE


def test_space_around_it_is_not_part_of_it() -> None:
    assert checked_content_type("  image/png ") == "image/png"


@pytest.mark.parametrize(
    "header",
    [
        "png",
        "image/",
        "/png",
        "image/png/x",
        "image png",
        "image/p\nng",
        "text/plain\r\nX: y",
        "text/plain; charset",
        'text/plain; charset="open',
        "text/plain; =x",
        "imäge/png",
        "text/plain, text/html",
        "*/*;q=\x00",
        "a/b;p=" + "v" * MAX_CONTENT_TYPE_CHARACTERS,
    ],
)
def test_what_is_no_media_type_is_refused(header: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        checked_content_type(header)


@pytest.mark.parametrize(
    "header",
    ["application/x-www-form-urlencoded", "application/X-WWW-Form-Urlencoded; charset=utf-8"],
)
def test_the_type_that_tools_add_on_their_own_counts_as_none(header: str) -> None:
    assert checked_content_type(header) == DEFAULT_CONTENT_TYPE


@pytest.mark.parametrize("header", ["multipart/form-data; boundary=x", "Multipart/Form-Data"])
def test_a_form_is_refused_with_what_to_do_instead(header: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="forms are not taken"):
        checked_content_type(header)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("multipart/form-data; boundary=x", True),
        (" Multipart/Form-Data ;boundary=x", True),
        ("multipart/mixed; boundary=x", False),
        ("multipart/form-data-x", False),
        ("", False),
        (None, False),
    ],
)
def test_a_form_is_known_by_its_type(header: str | None, expected: bool) -> None:
    assert is_form(header) is expected


def test_parameters_and_case_make_no_other_type() -> None:
    assert essence("Text/HTML ; charset=utf-8") == "text/html"
