from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from shared.identity.signing_keys import SigningKeyCaches
from shared.identity.token import TokenPolicy, TokenValidator
from shared.identity.trusted_issuer import TrustedIssuer
from tests.conformance.entra.issuer_process import API_CLIENT_ID, TENANT_ID, HttpJsonSource, running_issuer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.entra.issuer_process import IssuerProcess


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerProcess]:
    with running_issuer(tmp_path_factory.mktemp("entra")) as running:
        yield running


@pytest.fixture
def validator(issuer: IssuerProcess) -> TokenValidator:
    """The application's own validation, fed by the issuer's published documents."""
    return validator_for(issuer)


def validator_for(issuer: IssuerProcess, *more: TrustedIssuer) -> TokenValidator:
    row = TrustedIssuer(
        issuer.issuer.replace(TENANT_ID, "{tid}"),
        frozenset({API_CLIENT_ID}),
        issuer.discovery_url,
        tenants=frozenset({TENANT_ID}),
    )
    clock = SystemClock()
    return TokenValidator(TokenPolicy((row, *more)), SigningKeyCaches(HttpJsonSource(), clock), clock)
