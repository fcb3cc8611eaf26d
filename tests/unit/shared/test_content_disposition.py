from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequestError
from shared.files.name import DEFAULT_NAME
from shared.web.content_disposition import file_name


def as_received(text: str) -> str:
    """A header value as an ASGI server hands it over: its bytes, read as Latin-1."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("attachment; filename=plain.txt", "plain.txt"),
        ("attachment;filename=plain.txt", "plain.txt"),
        ("ATTACHMENT; FILENAME=upper.txt", "upper.txt"),
        ('attachment; filename="with space.txt"', "with space.txt"),
        ('attachment; filename="semi;colon.txt"', "semi;colon.txt"),
        ('attachment; filename="a \\"quoted\\" name.txt"', 'a "quoted" name.txt'),
        ('attachment; filename="100%.txt"', "100%.txt"),
        ('attachment; filename="a%20b.txt"', "a%20b.txt"),
        ("attachment; filename*=UTF-8''%e2%82%ac%20rates.pdf", "€ rates.pdf"),
        ("attachment; filename*=utf-8'en'%C3%A9.txt", "é.txt"),
        ("attachment; filename*=UTF-8''it's.txt", "it's.txt"),
        ("attachment; filename*=ISO-8859-1''%e9.txt", "é.txt"),
        ('attachment; name="filename=evil.exe"; filename=good.txt', "good.txt"),
        ('form-data; name="file"; filename="from-a-form.txt"; size=5', "from-a-form.txt"),
        (as_received('attachment; filename="naïve ☃.txt"'), "naïve ☃.txt"),
        ('attachment; filename="caf\xe9.txt"', "café.txt"),
        ("inline", DEFAULT_NAME),
        ("attachment; size=5", DEFAULT_NAME),
    ],
)
def test_the_name_is_found_in_every_form_that_clients_send(header: str, name: str) -> None:
    assert file_name(header) == name


@pytest.mark.parametrize("header", [None, "", "  "])
def test_no_header_gives_the_default_name(header: str | None) -> None:
    assert file_name(header) == DEFAULT_NAME


@pytest.mark.parametrize(
    "header",
    [
        "attachment; filename=",
        'attachment; filename=""',
        "attachment; filename*=UTF-8''%e2%82.txt",
        "attachment; filename*=UTF-8''%ff",
        'attachment; filename="../../etc/passwd"',
        'attachment; filename="C:\\\\temp\\\\x.txt"',
        "attachment; filename*=UTF-8''..%2f..%2fx",
        "attachment; filename*=UTF-8''a%00b",
        "attachment; filename*=UTF-8''a%0d%0aSet-Cookie:x",
        "attachment; filename*=UTF-8''%E2%80%AEgpj.exe",
        "attachment; filename*=unicode_escape''%5cu202egpj.exe",
        f'attachment; filename="{"x" * 300}"',
    ],
)
def test_a_name_that_cannot_be_read_or_taken_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        file_name(header)
    assert caught.value.code == "invalid-name"


@given(
    st.text(alphabet=st.characters(max_codepoint=255)),
    st.sampled_from(["", "filename=", "filename*=", 'filename="']),
)
def test_any_header_at_all_gives_a_name_or_a_refusal(text: str, before: str) -> None:
    with suppress(InvalidRequestError):
        assert file_name(f"attachment; {before}{text}")
