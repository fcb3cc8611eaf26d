"""Service Bus functions."""

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import List  # noqa: UP035 - as below

import azure.functions as func

app = func.FunctionApp()
logger = logging.getLogger(__name__)
MARKS = Path(os.environ.get("MARKS_DIR", "."))


@app.service_bus_queue_trigger(arg_name="message", queue_name="%ORDERS_QUEUE%", connection="SERVICE_BUS")
async def on_order(message: func.ServiceBusMessage, context: func.Context) -> None:
    body = message.get_body().decode()
    metadata = message.metadata or {}
    record = {
        "body": body,
        "message_id": message.message_id,
        "delivery_count": message.delivery_count,
        "properties": message.application_properties,
        "trace_parent": context.trace_context.trace_parent,
        "keys": sorted(metadata),
        "time_to_live": str(message.time_to_live),
    }
    logger.info("order %s", json.dumps(record))
    if body == "poison":
        raise ValueError("cannot be worked on")
    if body == "slow" and message.delivery_count == 1:
        await asyncio.sleep(30)
    if body == "half a second":
        await asyncio.sleep(0.5)
        logger.info("finished after all")


@app.service_bus_queue_trigger(
    arg_name="batch", queue_name="batches", connection="SERVICE_BUS", cardinality="many"
)
async def on_batch(batch: List[func.ServiceBusMessage]) -> None:  # noqa: UP006 - all that the library takes
    for message in batch:
        logger.info("in batch %s %s", message.get_body().decode(), message.delivery_count)


@app.service_bus_queue_trigger(
    arg_name="message", queue_name="sessions", connection="SERVICE_BUS", is_sessions_enabled=True
)
async def on_session(message: func.ServiceBusMessage) -> None:
    logger.info("in session %s %s", message.session_id, message.get_body().decode())
