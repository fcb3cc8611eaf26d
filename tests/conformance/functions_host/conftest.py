from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.functions_host.running_host import APPS, RunningHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

type StartHost = Callable[..., RunningHost]


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[StartHost]:
    """Starts hosts for sample apps; what still runs at the end of the test is stopped."""
    running: list[RunningHost] = []

    def start(app: str, *arguments: str, work_dir: Path | None = None, **environment: str) -> RunningHost:
        host = RunningHost(APPS / app, work_dir or tmp_path / "host", environment, arguments)
        running.append(host)
        return host.__enter__()

    yield start
    for host in running:
        host.__exit__()


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """One host for all tests of a module that do not disturb it."""
    with RunningHost(APPS / "classic", tmp_path_factory.mktemp("classic")) as host:
        yield host


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """As above, for the app that streams; it takes bodies of up to 200 MiB."""
    limit = {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(200 * 2**20)}
    with RunningHost(APPS / "streaming", tmp_path_factory.mktemp("streaming"), limit) as host:
        yield host
