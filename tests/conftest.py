"""How ``make test`` spreads tests over processes: files stay whole, and what uses the stack together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer

END_TO_END = "tests/end_to_end/"


class _StackTogether(LoadFileScheduling):  # type: ignore[misc]  # the plugin ships no types
    """A file is a unit of work; all files of the end-to-end tests are one, as they share one stack."""

    def _split_scope(self, nodeid: str) -> str:
        return END_TO_END if nodeid.startswith(END_TO_END) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """See https://pytest-xdist.readthedocs.io/en/stable/how-to.html; the marks of ``loadgroup`` go unread."""
    return _StackTogether(config, log)
