from __future__ import annotations

import json
from email.message import EmailMessage

import pytest

from local.inbox.smtp_sink import read_email


def test_both_bodies_and_the_decoded_headers_are_read() -> None:
    mail = EmailMessage()
    mail["From"] = "Dropbell <no-reply@dropbell.test>"
    mail["Subject"] = "Grüße"
    mail["List-Unsubscribe"] = "<https://dropbell.test/unsubscribe>"
    mail.set_content("Hällo\nWorld\n")
    mail.add_alternative("<p>Hällo</p>\n", subtype="html")
    mail.add_attachment(b"x", maintype="application", subtype="pdf", filename="a.pdf")
    read = read_email(mail.as_bytes().replace(b"\n", b"\r\n"))
    assert (read.text, read.html, read.attachments) == ("Hällo\nWorld\n", "<p>Hällo</p>\n", ("a.pdf",))
    assert read.headers["subject"] == "Grüße"
    assert read.headers["list-unsubscribe"] == "<https://dropbell.test/unsubscribe>"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"Content-Type: text/plain; charset=nonsense\r\n\r\nhello", "hello"),
        (b"From: =?utf-8?q?=ff?= <a\r\n\r\nhello", "hello"),
        (b"\xff\xfe\x00", ""),
        (b"", ""),
    ],
)
def test_a_broken_email_is_shown_as_far_as_it_can_be_read(raw: bytes, shown: str) -> None:
    assert (read_email(raw).text or "").startswith(shown)


@pytest.mark.parametrize(
    "raw",
    [
        b"From: \xff\r\nSubject: \xed\xa0\x80\r\n\r\n\xff body",
        # UTF-7 can spell a lone surrogate.
        b"Subject: =?utf-7?q?+2AA-?=\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+2AA- body",
    ],
)
def test_text_that_no_encoding_can_carry_becomes_text_that_can_be_shown(raw: bytes) -> None:
    read = read_email(raw)
    json.dumps(dict(read.headers), ensure_ascii=False).encode()
    (read.text or "").encode()
