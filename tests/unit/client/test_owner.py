"""Acting for an owner: the header, and what is no owner."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from dropbell import files
from dropbell.connection import Connection
from dropbell.errors import InputError
from dropbell.owner import Owner
from dropbell.sign_in import FixedToken
from tests.unit.client.fake_api import TOKEN, FakeApi

if TYPE_CHECKING:
    from collections.abc import Mapping

TENANT = "92539e34-19f7-4e73-8c9e-fe70a0cb5533"
ALICE = "16ebe823-4c7e-43bd-bed2-d9b86e8d3442"


def owner_header(headers: Mapping[str, str]) -> str | None:
    return headers.get("Dropbell-Owner")


@pytest.mark.parametrize(
    "text",
    ["", "/", TENANT, f"{TENANT}/", f"/{ALICE}", f"{TENANT}/{ALICE}/", f"{TENANT}/{ALICE}\r\nX-Evil: 1",
     f"{TENANT}/alice@dropbell.example", f"{TENANT}/alice", f"{{{TENANT}}}/{ALICE}", "tenant/übel",
     f"https://issuer.example/{ALICE}"],
)  # fmt: skip
def test_what_is_no_owner_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not an owner"):
        Owner.parse(text)


def test_an_owner_is_written_one_way() -> None:
    assert str(Owner.parse(f" {TENANT.upper()}/{ALICE} ")) == f"{TENANT}/{ALICE}"


def test_an_owner_of_another_kind_of_issuer_is_written_encoded() -> None:
    owner = Owner("https://issuer.example/", "auth0|7")
    assert str(owner) == "https%3A%2F%2Fissuer.example%2F/auth0%7C7"
    assert Owner.parse(str(owner)) == owner


def test_every_request_names_the_owner(api: FakeApi) -> None:
    with Connection(api.url, FixedToken(TOKEN), owner=Owner(TENANT, ALICE)) as connection:
        file = files.upload(connection, io.BytesIO(b"abc"), "a.bin")
        files.show(connection, file.id)
    assert [owner_header(request.headers) for request in api.received] == [f"{TENANT}/{ALICE}"] * 2


def test_without_an_owner_there_is_no_header(connection: Connection, api: FakeApi) -> None:
    files.upload(connection, io.BytesIO(b"abc"), "a.bin")
    assert owner_header(api.received[0].headers) is None
