"""Which e-mail addresses can be told: those that every mail server on the way takes as they are."""

from __future__ import annotations

import re
from typing import Final

from shared.errors import InvalidRequestError

MAX_ADDRESS_CHARACTERS: Final = 254
"""A path of 256 octets without its angle brackets (RFC 5321 §4.5.3.1.3, RFC 3696 erratum 1690)."""
MAX_LOCAL_PART_CHARACTERS: Final = 64
"""RFC 5321 §4.5.3.1.1."""
MAX_TEXT_CHARACTERS: Final = 1024
"""Of what is looked at, at all: a name can be longer in Unicode than as A-labels, but not so much."""

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART: Final = re.compile(rf"{_ATOM}(\.{_ATOM})*")
"""Dot-string (RFC 5321 §4.1.2). A quoted string is legal too; what it could hide outweighs its use."""
_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"({_LABEL}\.)+(?![0-9]+$){_LABEL}")
"""A name with a dot (RFC 5321 §2.3.5: resolvable, fully qualified) whose last label is no number."""


def checked_address(text: str) -> str:
    """The mailbox in ``text`` (RFC 5321 §4.1.2), its domain in lower case and as A-labels (RFC 5891).

    No display name, comment, quoted string or address literal. Raises InvalidRequestError
    (``target-not-allowed``) with a sentence for the subscriber.
    """
    local_part, at, domain = text.rpartition("@")
    if not at or len(text) > MAX_TEXT_CHARACTERS:
        raise _not_allowed("must be an e-mail address such as someone@example.com")
    if not local_part.isascii():
        raise _not_allowed("must have only ASCII characters before the '@'")
    if not _LOCAL_PART.fullmatch(local_part) or len(local_part) > MAX_LOCAL_PART_CHARACTERS:
        raise _not_allowed(
            f"must have a plain name of at most {MAX_LOCAL_PART_CHARACTERS} characters before the '@'"
        )
    ascii_domain = _ascii_domain(domain)
    if ascii_domain is None or not _DOMAIN.fullmatch(ascii_domain):
        raise _not_allowed("must have a full domain name, such as example.com, after the '@'")
    address = f"{local_part}@{ascii_domain}"
    if len(address) > MAX_ADDRESS_CHARACTERS:
        raise _not_allowed(f"is longer than {MAX_ADDRESS_CHARACTERS} characters")
    return address


def _ascii_domain(domain: str) -> str | None:
    if domain.isascii():
        return domain.lower()
    import idna  # its tables are large, and most domains are ASCII

    try:
        return idna.encode(domain, uts46=True, std3_rules=True).decode().lower()
    except idna.IDNAError:
        return None


def _not_allowed(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"The target {why}.", code="target-not-allowed")
