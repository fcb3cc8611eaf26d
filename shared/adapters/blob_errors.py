"""What the Blob service's errors mean to the port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure.core.exceptions import ResourceNotFoundError

from shared.adapters.azure_transport import error_code

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError

TAKEN = frozenset({"BlobAlreadyExists", "ConditionNotMet", "InvalidBlockList"})
"""Somebody has committed a blob of this name, which also throws away the blocks that others staged for it."""
_NO_CONTAINER = frozenset({"ContainerNotFound", "ContainerBeingDeleted"})


def is_missing(error: HttpResponseError) -> bool:
    """Whether there is no such blob. Without its container the store as a whole is out of order."""
    return isinstance(error, ResourceNotFoundError) and error_code(error) not in _NO_CONTAINER
