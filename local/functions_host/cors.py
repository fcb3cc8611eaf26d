"""Cross-origin requests, as ``Host.CORS`` in local.settings.json allows them: any header, any method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class CorsPolicy:
    """Which origins browsers may call from."""

    origins: tuple[str, ...] = ()
    allows_credentials: bool = False

    def headers(self, request: Mapping[str, str]) -> dict[str, str]:
        """What an answer to this request carries; nothing unless its origin is allowed."""
        origin = request.get("Origin")
        if not origin or not ("*" in self.origins or origin in self.origins):
            return {}
        if "*" in self.origins and not self.allows_credentials:
            return {"Access-Control-Allow-Origin": "*"}
        allowed = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if self.allows_credentials:
            allowed["Access-Control-Allow-Credentials"] = "true"
        return allowed

    def preflight(self, method: str, request: Mapping[str, str]) -> dict[str, str]:
        """The answer to a preflight request (Fetch standard); nothing when it is none, or is not allowed."""
        wanted = request.get("Access-Control-Request-Method")
        if method != "OPTIONS" or not wanted:
            return {}
        allowed = self.headers(request)
        if not allowed:
            return {}
        allowed["Access-Control-Allow-Methods"] = wanted
        if wanted_headers := request.get("Access-Control-Request-Headers"):
            allowed["Access-Control-Allow-Headers"] = wanted_headers
        return allowed
