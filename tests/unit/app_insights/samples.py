"""Envelopes as exporters send them, in few words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from local.app_insights.envelopes import Envelope, read_envelope

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
TRACE = "0af7651916cd43dd8448eb211c80319c"


def item(
    base_type: str,
    at_ms: float = 0,
    *,
    trace_id: str | None = TRACE,
    parent: str | None = None,
    instance: str = "worker-1",
    **base: Any,
) -> dict[str, Any]:
    """An envelope as JSON; ``base`` are the fields of its ``baseData``."""
    tags = {"ai.cloud.roleInstance": instance}
    tags |= {"ai.operation.id": trace_id} if trace_id else {}
    tags |= {"ai.operation.parentId": parent} if parent else {}
    moment = (START + timedelta(milliseconds=at_ms)).isoformat().replace("+00:00", "Z")
    data = {"baseType": base_type, "baseData": {"ver": 2, "properties": {}, **base}}
    return {"name": "Microsoft.ApplicationInsights", "iKey": "k", "time": moment, "tags": tags, "data": data}


def envelope(base_type: str, at_ms: float = 0, **options: Any) -> Envelope:
    return read_envelope(item(base_type, at_ms, **options))


def duration(ms: float) -> str:
    seconds, milliseconds = divmod(round(ms), 1000)
    return f"0.{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{milliseconds:03}"


def request(name: str, span_id: str, at_ms: float = 0, ms: float = 10, **options: Any) -> Envelope:
    known = {"id": span_id, "name": name, "duration": duration(ms), "responseCode": "200", "success": True}
    return envelope("RequestData", at_ms, **(known | options))


def call(name: str, span_id: str, at_ms: float = 0, ms: float = 10, **options: Any) -> Envelope:
    known = {"id": span_id, "name": name, "duration": duration(ms), "resultCode": "0", "success": True}
    return envelope("RemoteDependencyData", at_ms, **(known | options))


def event(name: str, at_ms: float = 0, **options: Any) -> Envelope:
    return envelope("EventData", at_ms, name=name, **options)
