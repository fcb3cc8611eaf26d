from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest
from starlette.datastructures import Headers

from shared.errors import InvalidRequestError
from shared.files.digest import DigestAlgorithm
from shared.web.digest_fields import digests, repr_digest

SHA_256 = hashlib.sha256(b"hello").digest()
SHA_512 = hashlib.sha512(b"hello").digest()


def field(algorithm: str, digest: bytes) -> str:
    return f"{algorithm}=:{b64encode(digest).decode()}:"


def headers(*values: str) -> Headers:
    return Headers(raw=[(b"content-digest", value.encode("latin-1")) for value in values])


def test_no_field_announces_nothing() -> None:
    assert digests(headers(), "Content-Digest") == {}


@pytest.mark.parametrize(
    "values",
    [
        (f"{field('sha-256', SHA_256)}, {field('sha-512', SHA_512)}",),
        (field("sha-256", SHA_256), field("sha-512", SHA_512)),
        (f"{field('md5', b'x' * 16)},{field('sha-512', SHA_512)};q=1 , {field('sha-256', SHA_256)}",),
    ],
)
def test_every_known_algorithm_is_taken_and_others_are_passed_over(values: tuple[str, ...]) -> None:
    assert digests(headers(*values), "Content-Digest") == {
        DigestAlgorithm.SHA_256: SHA_256,
        DigestAlgorithm.SHA_512: SHA_512,
    }


@pytest.mark.parametrize(
    "value",
    [
        "",
        "sha-256",
        "sha-256=abc",
        f'sha-256="{b64encode(SHA_256).decode()}"',
        f"sha-256=(:{b64encode(SHA_256).decode()}:)",
        f"SHA-256=:{b64encode(SHA_256).decode()}:",
        field("sha-256", SHA_256[:-1]),
        field("sha-256", SHA_512),
        field("sha-256", SHA_256)[:-1],
        field("sha-256", SHA_256) + ",",
        f"{field('sha-256', SHA_256)}, sha-512=:x:",
        field("md5", b"x" * 16),
        "\xe9",
        SHA_256.hex(),
    ],
)
def test_what_is_no_digest_is_refused_with_what_would_be(value: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        digests(headers(value), "Content-Digest")
    assert caught.value.code == "invalid-digest"
    assert caught.value.headers == {"want-content-digest": "sha-256=10, sha-512=3"}


def test_the_answer_carries_the_digest_as_a_byte_sequence() -> None:
    assert repr_digest(SHA_256.hex()) == field("sha-256", SHA_256)
