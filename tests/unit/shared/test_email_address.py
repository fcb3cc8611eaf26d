from __future__ import annotations

import pytest

from shared.errors import InvalidRequestError
from shared.notifications.channels.email_address import checked_address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "someone",
        "someone@",
        "@example.com",
        "someone@localhost",
        "someone@example.com.",
        "someone@.example.com",
        "someone@exa mple.com",
        " someone@example.com",
        "someone@example.com\n",
        "someone@example.com\r\nBcc: all@example.com",
        "some\none@example.com",
        "someone@example.com,other@example.com",
        "someone@one@example.com",
        "Someone <someone@example.com>",
        "<someone@example.com>",
        "someone(comment)@example.com",
        "someone@example.com (comment)",
        '"some one"@example.com',
        "someone@[192.0.2.1]",
        "someone@[IPv6:2001:db8::1]",
        "someone@192.0.2.1",
        "someone@-example.com",
        "someone@example-.com",
        "someone@exa_mple.com",
        "some..one@example.com",
        ".someone@example.com",
        "someone.@example.com",
        "sömeone@example.com",
        "someone@exa\u200bmple\u2024.com\u0000",
        "someone@xn--\u00fc.com",
        "someone@" + "ü" * 64 + ".com",
        "x" * 65 + "@example.com",
        "x@" + "a" * 64 + ".com",
        "x@" + "a." * 130 + "com",
        "x" * 2000,
        "mailto:someone@example.com?subject=x",
        "https://example.com/@x",
    ],
)
def test_what_is_no_plain_mailbox_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        checked_address(text)
    assert refused.value.code == "target-not-allowed"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("someone@example.com", "someone@example.com"),
        ("Some.One+bell@Example.COM", "Some.One+bell@example.com"),
        ("o'hara!#$%&*/=?^_`{|}~-@mail.example.test", "o'hara!#$%&*/=?^_`{|}~-@mail.example.test"),
        ("someone@bücher.example", "someone@xn--bcher-kva.example"),
        ("someone@BÜCHER.example", "someone@xn--bcher-kva.example"),
        ("someone@straße.example", "someone@xn--strae-oqa.example"),  # not strasse, as IDNA 2003 had it
        ("someone@例え.テスト", "someone@xn--r8jz45g.xn--zckzah"),
        ("x" * 64 + "@" + "a" * 63 + ".com", "x" * 64 + "@" + "a" * 63 + ".com"),
        ("x@" + "a." * 124 + "com", "x@" + "a." * 124 + "com"),
    ],
)
def test_an_address_is_kept_as_servers_take_it(text: str, address: str) -> None:
    assert checked_address(text) == address
