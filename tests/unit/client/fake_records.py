"""What the fake service tells: records of files, and refusals."""

from __future__ import annotations

import hashlib
from typing import Any

from aiohttp import web

FILE_ID = "01930000-0000-7000-8000-000000000001"
CORRELATION_ID = "c0ffee"


def file_json(**changes: Any) -> dict[str, Any]:
    return {
        "id": FILE_ID,
        "name": "report.pdf",
        "content_type": "application/pdf",
        "size_bytes": 3,
        "sha256": hashlib.sha256(b"abc").hexdigest(),
        "status": "stored",
        "labels": {"extra": "kept as a label"},
        "created_at": "2026-01-02T03:04:05.678Z",
        "updated_at": "2026-01-02T03:04:05.678Z",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "correlation_id": CORRELATION_ID,
        "etag": '"1"',
    } | changes


def problem(status: int, title: str, detail: str, **headers: str) -> web.Response:
    body = {
        "type": f"https://dropbell.example/problems/{status}",
        "title": title,
        "status": status,
        "detail": detail,
        "correlation_id": CORRELATION_ID,
    }
    return web.json_response(body, status=status, content_type="application/problem+json", headers=headers)
