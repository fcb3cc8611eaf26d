from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.running_stack import RunningStack, running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One stack for all end-to-end tests: quick retries, so that nobody waits for them."""
    with running_stack(
        tmp_path_factory.mktemp("stack"),
        DROPBELL_RETRY_SCHEDULE_SECONDS="0.2,0.4",
        DROPBELL_DELIVERY_TIMEOUT_SECONDS="2",
        DROPBELL_MAX_FILE_BYTES=str(64 * 1024 * 1024),
    ) as running:
        yield running
