"""Blob functions: a reference, the bytes, and one without Event Grid."""

import json
import logging
from typing import Any

import azure.functions as func
from azurefunctions.extensions.base import InConverter, SdkType

app = func.FunctionApp()
logger = logging.getLogger(__name__)


class BlobName(SdkType):  # type: ignore[misc]  # the package ships no types
    def __init__(self, *, data: Any) -> None:
        super().__init__()
        content = json.loads(data.content)
        self.connection = content["Connection"]
        self.path = f"{content['ContainerName']}/{content['BlobName']}"

    def get_sdk_type(self) -> "BlobName":
        return self


class _Converter(InConverter, binding="blob", trigger="blobTrigger"):  # type: ignore[misc, call-arg]  # as above
    @classmethod
    def check_input_type_annotation(cls, pytype: type) -> bool:
        return issubclass(pytype, BlobName)

    @classmethod
    def decode(cls, data: Any, *, trigger_metadata: Any, pytype: type[BlobName]) -> BlobName:
        return pytype(data=data.value)


@app.blob_trigger(
    arg_name="blob",
    path="%CONTAINER%/{owner}/{file}",
    connection="STORAGE",
    source=func.BlobSource.EVENT_GRID,
)
async def on_reference(blob: BlobName) -> None:
    logger.info("reference %s by %s", blob.path, blob.connection)
    if blob.path.endswith("poison"):
        raise ValueError("cannot be worked on")


@app.blob_trigger(
    arg_name="blob", path="documents/{name}.txt", connection="STORAGE", source=func.BlobSource.EVENT_GRID
)
def on_content(blob: func.InputStream) -> None:
    logger.info(
        "content %s %s %s %s", blob.name, blob.length, getattr(blob, "metadata", None), blob.read().decode()
    )


@app.blob_trigger(arg_name="blob", path="scanned/{name}", connection="STORAGE")
def on_scan(blob: func.InputStream) -> None:
    logger.info("scanned %s", blob.name)
