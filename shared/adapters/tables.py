"""``TableStore`` on Azure Table Storage (or Azurite)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import EdmType, EntityProperty, UpdateMode
from azure.data.tables.aio import TableClient

from shared.adapters.azure_transport import ANSWER, answered, error_code
from shared.adapters.transaction import check_transaction
from shared.errors import EntityChangedError, EntityExistsError, EntityMissingError
from shared.ports import Delete, Entity, Insert, Page, Replace
from shared.telemetry.spans import System

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AioHttpTransport

    from shared.adapters.azure_transport import Patience
    from shared.errors import StoreError
    from shared.ports import Change, Value

_ERRORS_BY_STATUS: Mapping[int, type[StoreError]] = {
    404: EntityMissingError,
    409: EntityExistsError,
    412: EntityChangedError,
}


class AzureTables:
    """Rows of one table."""

    def __init__(self, table: TableClient, *, patience: Patience = ANSWER) -> None:
        self._table = table
        self._patience = patience

    @classmethod
    def connect(
        cls,
        table: str,
        transport: AioHttpTransport,
        *,
        connection_string: str | None = None,
        account_url: str | None = None,
        credential: AsyncTokenCredential | None = None,
        patience: Patience = ANSWER,
    ) -> AzureTables:
        """By connection string, or by account URL and managed identity."""
        options: dict[str, Any] = {"transport": transport, "retry_total": 0}  # see azure_transport
        if connection_string is not None:
            client = TableClient.from_connection_string(connection_string, table, **options)
            return cls(client, patience=patience)
        if account_url is None:
            raise ValueError("a connection string or an account URL is needed")
        return cls(TableClient(account_url, table, credential=credential, **options), patience=patience)

    async def get(self, partition_key: str, row_key: str) -> Entity | None:
        """See ``TableStore``."""

        async def read() -> Entity | None:
            try:
                return _from_sdk(await self._table.get_entity(partition_key, row_key))
            except ResourceNotFoundError as error:
                if _is_about_table(error):
                    raise
                return None

        return await self._answered("Table get", read)

    async def query(self, partition_key: str, *, first_row_key: str, end_row_key: str, limit: int) -> Page:
        """See ``TableStore``. One row more than asked for tells where the next page starts."""

        async def read() -> list[Entity]:
            found: list[Entity] = []
            pages = self._table.query_entities(
                "PartitionKey eq @partition and RowKey ge @first and RowKey lt @end",
                parameters={"partition": partition_key, "first": first_row_key, "end": end_row_key},
                results_per_page=min(limit + 1, 1000),
            )
            async for entity in pages:
                found.append(_from_sdk(entity))
                if len(found) > limit:
                    break
            return found

        found = await self._answered("Table query", read)
        return Page(found[:limit], found[limit].row_key if len(found) > limit else None)

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        """See ``TableStore``. UnavailableError leaves open whether the changes were made."""
        check_transaction(changes)

        async def write() -> Sequence[str]:
            try:
                match changes:
                    # The envelope of a transaction more than doubles the cost of a single change.
                    case [Insert(entity)]:
                        return [str((await self._table.create_entity(_to_sdk(entity)))["etag"])]
                    case [Replace(entity)]:
                        answer = await self._table.update_entity(
                            _to_sdk(entity), mode=UpdateMode.REPLACE, **_unchanged(entity)
                        )
                        return [str(answer["etag"])]
                    # Also a single Delete: the SDK's own takes a missing row for success, the port does not.
                    case _:
                        answers = await self._table.submit_transaction([_operation(one) for one in changes])
                        return [str(answer.get("etag") or "") for answer in answers]
            except HttpResponseError as error:
                kind = _ERRORS_BY_STATUS.get(error.status_code or 0)
                if kind is None or _is_about_table(error):
                    raise
                raise kind(error_code(error)) from error

        return await self._answered("Table apply", write, repeatable=False)

    async def _answered[Answer](
        self, name: str, operation: Callable[[], Awaitable[Answer]], *, repeatable: bool = True
    ) -> Answer:
        return await answered(
            System.TABLE,
            name,
            operation,
            target=self._table.table_name,
            patience=self._patience,
            repeatable=repeatable,
        )

    async def check(self) -> None:
        """Look for a row that is not there; raises UnavailableError when the table does not answer."""
        await self.get("health", "health")

    async def close(self) -> None:
        """Release the client."""
        await self._table.close()


def _operation(change: Change) -> tuple[str, dict[str, Any], dict[str, Any]]:
    match change:
        case Insert(entity):
            return "create", _to_sdk(entity), {}
        case Replace(entity):
            return "update", _to_sdk(entity), {"mode": UpdateMode.REPLACE, **_unchanged(entity)}
        case Delete(entity):
            return "delete", _to_sdk(entity), _unchanged(entity)


def _unchanged(entity: Entity) -> dict[str, Any]:
    return {"etag": entity.etag, "match_condition": MatchConditions.IfNotModified}


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
    if isinstance(value, datetime):  # the SDK's own subclass keeps the text it was read from
        return datetime.combine(value.date(), value.timetz())
    if isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a table property of type {type(value).__name__} is not used here")


def _is_about_table(error: HttpResponseError) -> bool:
    """Whether the table, not the row, is missing or in the way."""
    return error_code(error) in {"TableNotFound", "TableBeingDeleted"}
