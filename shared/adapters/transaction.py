"""What every table store refuses before anything is sent: a transaction that no service would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.ports import MAX_TRANSACTION_CHANGES, Insert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.ports import Change


def check_transaction(changes: Sequence[Change]) -> None:
    """Raise ValueError unless ``changes`` can be one entity-group transaction.

    The rules are the Table service's: https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
    """
    if not 1 <= len(changes) <= MAX_TRANSACTION_CHANGES:
        raise ValueError(f"a transaction takes 1 to {MAX_TRANSACTION_CHANGES} changes")
    if len({change.entity.partition_key for change in changes}) != 1:
        raise ValueError("a transaction stays within one partition")
    if len({change.entity.row_key for change in changes}) != len(changes):
        raise ValueError("a transaction changes a row once")
    if any(not isinstance(change, Insert) and not change.entity.etag for change in changes):
        raise ValueError("a row that is replaced or deleted must carry the ETag it was read with")
