from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.client.issuer import running_issuer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.client.issuer import Issuer


@pytest.fixture(scope="package")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with running_issuer(tmp_path_factory.mktemp("issuer")) as issuer:
        yield issuer
