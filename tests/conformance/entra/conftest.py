from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from shared.identity.signing_keys import SigningKeys
from shared.identity.token import TokenPolicy, TokenValidator
from tests.conformance.entra.issuer_process import API_CLIENT_ID, HttpJsonSource, running_issuer

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


def validator_for(issuer: IssuerProcess) -> TokenValidator:
    policy = TokenPolicy(issuer.issuer, frozenset({API_CLIENT_ID}), issuer.discovery_url)
    clock = SystemClock()
    keys = SigningKeys(HttpJsonSource(), clock, issuer=policy.issuer, discovery_url=policy.discovery_url)
    return TokenValidator(policy, keys, clock)
