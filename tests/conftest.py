"""How ``make test`` spreads tests over processes: files stay whole, and what uses the stack together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

END_TO_END = Path(__file__).parent / "end_to_end"


@pytest.hookimpl(tryfirst=True)  # before the plugin reads the marks
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        name = "stack" if END_TO_END in item.path.parents else str(item.path)
        item.add_marker(pytest.mark.xdist_group(name))
