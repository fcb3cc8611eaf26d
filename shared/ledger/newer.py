"""What a newer version of the service has written into a row.

While a release rolls out, and after it is rolled back, two versions write the same rows, each of them whole.
The older one must take nothing away, so a record carries what it does not know, from the row that it was read
from to the row that it becomes (docs/compatibility.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from shared.ports import Entity, Value


def newer(entity: Entity, known: Collection[str]) -> Mapping[str, Value]:
    """The properties that are not among the ``known`` ones, to be written back as they are."""
    return {name: value for name, value in entity.values.items() if name not in known}
