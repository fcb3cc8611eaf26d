"""``TableStore`` on Azure Table Storage (or Azurite)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import EdmType, EntityProperty, TableTransactionError, UpdateMode
from azure.data.tables.aio import TableClient

from shared.adapters.azure_transport import translated
from shared.errors import EntityChangedError, EntityExistsError, EntityMissingError, StoreError
from shared.ports import MAX_TRANSACTION_CHANGES, Delete, Entity, Insert, Page, Replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AioHttpTransport

    from shared.ports import Change, Value

_ERRORS_BY_STATUS: Mapping[int, type[StoreError]] = {
    404: EntityMissingError,
    409: EntityExistsError,
    412: EntityChangedError,
}


class AzureTables:
    """Rows of one table."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    @classmethod
    def connect(
        cls,
        table: str,
        transport: AioHttpTransport,
        *,
        connection_string: str | None = None,
        account_url: str | None = None,
        credential: AsyncTokenCredential | None = None,
    ) -> AzureTables:
        """By connection string, or by account URL and managed identity."""
        options: dict[str, Any] = {"transport": transport, "retry_total": 3, "retry_backoff_factor": 0.4}
        if connection_string is not None:
            return cls(TableClient.from_connection_string(connection_string, table, **options))
        if account_url is None:
            raise ValueError("a connection string or an account URL is needed")
        return cls(TableClient(account_url, table, credential=credential, **options))

    async def get(self, partition_key: str, row_key: str) -> Entity | None:
        """See ``TableStore``."""
        with translated("Table Storage"):
            try:
                return _from_sdk(await self._table.get_entity(partition_key, row_key))
            except ResourceNotFoundError as error:
                if _names_missing_table(error):
                    raise
                return None

    async def query(self, partition_key: str, *, first_row_key: str, end_row_key: str, limit: int) -> Page:
        """See ``TableStore``. One row more than asked for tells where the next page starts."""
        found: list[Entity] = []
        with translated("Table Storage"):
            pages = self._table.query_entities(
                "PartitionKey eq @partition and RowKey ge @first and RowKey lt @end",
                parameters={"partition": partition_key, "first": first_row_key, "end": end_row_key},
                results_per_page=min(limit + 1, 1000),
            )
            async for entity in pages:
                found.append(_from_sdk(entity))
                if len(found) > limit:
                    break
        return Page(found[:limit], found[limit].row_key if len(found) > limit else None)

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        """See ``TableStore``. A single change goes without the envelope of a transaction."""
        if not 1 <= len(changes) <= MAX_TRANSACTION_CHANGES:
            raise ValueError(f"a transaction takes 1 to {MAX_TRANSACTION_CHANGES} changes")
        with translated("Table Storage"):
            try:
                if len(changes) == 1:
                    return [await self._apply_one(changes[0])]
                answers = await self._table.submit_transaction([_operation(change) for change in changes])
            except TableTransactionError as error:
                raise _store_error(error) from error
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as error:
                raise _store_error(error) from error
        return [str(answer.get("etag") or "") for answer in answers]

    async def _apply_one(self, change: Change) -> str:
        conditions: dict[str, Any] = {
            "etag": change.entity.etag,
            "match_condition": MatchConditions.IfNotModified,
        }
        match change:
            case Insert(entity):
                return str((await self._table.create_entity(_to_sdk(entity)))["etag"])
            case Replace(entity):
                answer = await self._table.update_entity(
                    _to_sdk(entity), mode=UpdateMode.REPLACE, **conditions
                )
                return str(answer["etag"])
            case Delete(entity):
                # The SDK takes a missing row for success; the port does not.
                if await self.get(entity.partition_key, entity.row_key) is None:
                    raise EntityMissingError(entity.row_key)
                await self._table.delete_entity(entity.partition_key, entity.row_key, **conditions)
                return ""

    async def check(self) -> None:
        """Look for a row that is not there; raises UnavailableError when the table does not answer."""
        await self.get("health", "health")

    async def close(self) -> None:
        """Release the client."""
        await self._table.close()


def _operation(change: Change) -> tuple[str, dict[str, Any], dict[str, Any]]:
    conditions = {"etag": change.entity.etag, "match_condition": MatchConditions.IfNotModified}
    match change:
        case Insert(entity):
            return "create", _to_sdk(entity), {}
        case Replace(entity):
            return "update", _to_sdk(entity), {"mode": UpdateMode.REPLACE, **conditions}
        case Delete(entity):
            return "delete", _to_sdk(entity), conditions


def _to_sdk(entity: Entity) -> dict[str, Any]:
    row: dict[str, Any] = {"PartitionKey": entity.partition_key, "RowKey": entity.row_key}
    for name, value in entity.values.items():
        is_number = isinstance(value, int) and not isinstance(value, bool)
        row[name] = EntityProperty(value, EdmType.INT64) if is_number else value
    return row


def _from_sdk(row: Any) -> Entity:
    values: dict[str, Value] = {
        name: _plain(value) for name, value in row.items() if name not in {"PartitionKey", "RowKey"}
    }
    return Entity(row["PartitionKey"], row["RowKey"], values, str(row.metadata["etag"]))


def _plain(value: Any) -> Value:
    if isinstance(value, EntityProperty):
        value = value.value
    if isinstance(value, datetime):
        return datetime.fromtimestamp(value.timestamp(), value.tzinfo)
    if isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a table property of type {type(value).__name__} is not used here")


def _names_missing_table(error: HttpResponseError) -> bool:
    return "TableNotFound" in str(getattr(error, "error_code", "") or error.message)


def _store_error(error: HttpResponseError) -> Exception:
    """The port's error for a failed condition; the SDK's own for everything else."""
    kind = _ERRORS_BY_STATUS.get(error.status_code or 0)
    return error if kind is None or _names_missing_table(error) else kind(str(error.status_code))
