"""``GET /api/health``: for load balancers and people, without a token."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from shared.errors import UnavailableError
from shared.telemetry.events import Event, record
from shared.web.call import CORRELATION_HEADER, correlation_id_of
from shared.web.problem import as_problem, problem_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from shared.ports import Clock

RELEASE_FILE = Path(__file__).parent.parent / "release.txt"
CHECK_TIMEOUT_SECONDS = 5
KEPT_SECONDS = 5
"""A deep answer serves for this long, so that nobody can use the route to load storage."""


def release(file: Path = RELEASE_FILE) -> str | None:
    """The commit that the package was made of: ``git archive`` writes it into the file (gitattributes(5)).

    None for a working copy, and for a package that was made in another way.
    """
    text = file.read_text().strip()
    return None if text.startswith("$") else text or None


class Health:
    """Says whether the process can serve, and with ``?deep=1`` whether what it needs answers."""

    def __init__(
        self, checks: Mapping[str, Callable[[], Awaitable[None]]], clock: Clock, release: str | None = None
    ) -> None:
        """Take the deep checks; ``release`` is what a deep answer names as the version at work."""
        self._checks = checks
        self._clock = clock
        self._release = release
        self._kept: tuple[float, Mapping[str, str]] | None = None
        self._turn = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        """200 with ``{"status": "ok"}``; 503 as a problem that names what did not answer."""
        correlation_id = correlation_id_of(request.headers.get(CORRELATION_HEADER))
        deep = request.query_params.get("deep", "") not in {"", "0", "false"}
        results = await self._results() if deep else {}
        response: Response
        if all(result == "ok" for result in results.values()):
            told = {"checks": dict(results), **({"release": self._release} if self._release else {})}
            response = JSONResponse({"status": "ok", **(told if deep else {})})
        else:
            failed = ", ".join(name for name, result in results.items() if result != "ok")
            response = problem_response(
                UnavailableError(f"These do not answer: {failed}."),
                correlation_id=correlation_id,
                extensions={"checks": dict(results)},
            )
        response.headers[CORRELATION_HEADER] = correlation_id
        response.headers["cache-control"] = "no-store"
        return response

    async def _results(self) -> Mapping[str, str]:
        async with self._turn:
            now_seconds = self._clock.now().timestamp()
            if self._kept is None or not 0 <= now_seconds - self._kept[0] <= KEPT_SECONDS:
                names = list(self._checks)
                results = await asyncio.gather(*(self._run(name) for name in names))
                self._kept = (now_seconds, dict(zip(names, results, strict=True)))
            return self._kept[1]

    async def _run(self, name: str) -> str:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                await self._checks[name]()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a part, the route answers
            record(Event.CHECK_FAILED, level=logging.WARNING, check=name, reason=as_problem(error).reason)
            return "no answer"
        return "ok"
