from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequestError
from shared.files.name import MAX_NAME_BYTES, checked_name, from_metadata, to_metadata

FAMILY = "👩\u200d👩\u200d👧.png"
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.txt"


@pytest.mark.parametrize(
    ("given_name", "taken"),
    [
        ("report.pdf", "report.pdf"),
        ("  spaced out .txt ", "spaced out .txt"),
        ("\u3000ideographic space\u00a0", "ideographic space"),
        ("e\u0301.txt", "é.txt"),
        ("日本語.docx", "日本語.docx"),
        (FAMILY, FAMILY),
        (PERSIAN, PERSIAN),
        (".hidden", ".hidden"),
        ("...", "..."),
        ("CON", "CON"),
        ('a"b;c=%41?.txt', 'a"b;c=%41?.txt'),
        ("x" * MAX_NAME_BYTES, "x" * MAX_NAME_BYTES),
        ("é" * 127, "é" * 127),
        ("e\u0301" * 127, "é" * 127),
    ],
)
def test_a_name_for_people_is_taken_in_normal_form_c(given_name: str, taken: str) -> None:
    assert checked_name(given_name) == taken


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "\t\n",
        ".",
        "..",
        " .. ",
        "a/b",
        "/etc/passwd",
        "..\\..\\x",
        "a\x00b",
        "a\r\nSet-Cookie: x",
        "tab\tbed",
        "\x7f",
        "next\u0085line",
        "invoice\u202efdp.exe",
        "\u2066isolated\u2069",
        "\u200bzero width",
        "\ufeffmark",
        "soft\u00adhyphen",
        "line\u2028separator",
        "paragraph\u2029separator",
        "lone\ud800surrogate",
        "x" * (MAX_NAME_BYTES + 1),
        "é" * 128,
        "👍" * 64,
    ],
)
def test_a_name_that_could_deceive_or_escape_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        checked_name(name)
    assert caught.value.code == "invalid-name"
    assert name.strip() == "" or name not in caught.value.detail or len(name.strip()) < 3


@given(st.text())
def test_whatever_is_taken_is_safe_and_stable(text: str) -> None:
    try:
        name = checked_name(text)
    except InvalidRequestError:
        return
    assert checked_name(name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert not set(name) & set("/\\\r\n\0\u202e")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_metadata_is_ascii_and_gives_the_name_back(name: str) -> None:
    value = to_metadata(name)
    assert value.isascii()
    assert not set(value) & set(" \r\n\0")
    assert from_metadata(value) == name
