"""Tokens that end while a file is on its way: the issuer's own tokens, verified as the service does."""

from __future__ import annotations

import asyncio
import io
import os
from typing import TYPE_CHECKING

import pytest

from dropbell import files
from dropbell.connection import Connection
from dropbell.service_sign_in import ClientCredentialSignIn
from dropbell.sign_in import DeviceCodeSignIn
from tests.conformance.client.issuer import APPS, SCOPES
from tests.unit.client.fake_api import FakeApi, bearer_token, fake_api, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from dropbell.sign_in import SignIn
    from tests.conformance.client.issuer import Issuer

CONTENT = os.urandom(8 * 1024 * 1024)


class ShortLivedTokens:
    """Holds a token of one second until it is told to get another."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._token = issuer.mint(user="alice", lifetime_seconds=1)
        self.refreshes = 0

    def access_token(self, *, force_refresh: bool = False, lasting_seconds: float = 0) -> str:
        if force_refresh:
            self.refreshes += 1
            self._token = self._issuer.mint(user="alice", lifetime_seconds=60)
        return self._token


@pytest.fixture
def api(issuer: Issuer) -> Iterator[FakeApi]:
    with fake_api() as api:
        api.accepts = issuer.accepts
        yield api


def test_a_token_that_ends_under_way_is_replaced_and_the_file_sent_again(
    issuer: Issuer, api: FakeApi
) -> None:
    async def slowly(request: web.Request) -> web.StreamResponse:
        await request.content.readexactly(1000)
        for _ in range(100):
            if not issuer.accepts(bearer_token(request)):
                break
            await asyncio.sleep(0.05)
        return problem(401, "Token expired", "The token has expired.")

    sign_in = ShortLivedTokens(issuer)
    api.next_answers.append(slowly)
    with Connection(api.url, sign_in) as connection:
        files.upload(connection, io.BytesIO(CONTENT), "a.bin")
    assert sign_in.refreshes == 1
    assert [request.body for request in api.received] == [CONTENT]


def _person(issuer: Issuer) -> SignIn:
    client_id = APPS["dropbell-cli"]["client_id"]
    sign_in = DeviceCodeSignIn(
        issuer.authority, client_id, SCOPES, issuer.ca_file, show=issuer.sign_in_as_alice
    )
    sign_in.log_in()
    return sign_in


def _service(issuer: Issuer) -> SignIn:
    app = APPS["ingest-app"]
    return ClientCredentialSignIn(
        issuer.authority, app["client_id"], app["secret"], "api://dropbell/.default", issuer.ca_file
    )


@pytest.mark.parametrize("signed_in", [_person, _service])
def test_a_token_revoked_between_two_files_is_replaced_silently(
    issuer: Issuer, api: FakeApi, signed_in: Callable[[Issuer], SignIn]
) -> None:
    sign_in = signed_in(issuer)
    with Connection(api.url, sign_in) as connection:
        files.upload(connection, io.BytesIO(b"first"), "a.bin")
        before = sign_in.access_token()
        issuer.revoke_keys()
        files.upload(connection, io.BytesIO(CONTENT), "b.bin")
    assert [request.body for request in api.received] == [b"first", CONTENT]
    assert sign_in.access_token() != before
