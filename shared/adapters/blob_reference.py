"""The blob trigger's argument: which blob, and nothing more.

``func.InputStream`` would download the whole blob into the host and the worker, and the SDK's ``BlobClient``
type builds a client for each invocation. The announcement needs the name only.
"""

from __future__ import annotations

import json
from typing import Any

from azurefunctions.extensions.base import Datum, InConverter, SdkType


class BlobReference(SdkType):  # type: ignore[misc]  # the base package ships no types
    """Container and name of the blob that fired the trigger."""

    def __init__(self, *, container: str, name: str) -> None:
        super().__init__()
        self.container = container
        self.name = name

    def get_sdk_type(self) -> BlobReference:
        """The value handed to the function: the reference itself."""
        return self


class BlobReferenceConverter(InConverter, binding="blob", trigger="blobTrigger"):  # type: ignore[misc, call-arg]
    """Reads the reference that the host sends for a deferred binding (model_binding_data, version 1.0)."""

    @classmethod
    def check_input_type_annotation(cls, pytype: type) -> bool:
        """Whether the parameter asks for a reference."""
        return issubclass(pytype, BlobReference)

    @classmethod
    def decode(cls, data: Datum, *, trigger_metadata: Any, pytype: type) -> BlobReference:  # noqa: ARG003 - the worker passes them
        """The reference in ``data``."""
        content = json.loads(data.value.content)
        return BlobReference(container=str(content["ContainerName"]), name=str(content["BlobName"]))
