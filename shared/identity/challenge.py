"""The WWW-Authenticate header of 401 and 403 answers (RFC 6750 §3)."""

from __future__ import annotations

from typing import Final

from shared.errors import UnauthenticatedError

_REALM: Final = 'Bearer realm="dropbell"'


def token_missing(detail: str, *, reason: str) -> UnauthenticatedError:
    """401 for a request without a bearer token; carries no error attribute (RFC 6750 §3.1)."""
    return UnauthenticatedError(
        detail, code="token-missing", reason=reason, headers={"WWW-Authenticate": _REALM}
    )


def token_refused(detail: str, *, reason: str, code: str = "token-invalid") -> UnauthenticatedError:
    """401 for a token that proves nothing.

    ``detail`` is sent to the caller, in the header too: a fixed ASCII sentence without quotes or backslashes
    (RFC 6750 §3) that repeats nothing of the token. ``reason`` goes to telemetry only.
    """
    challenge = f'{_REALM}, error="invalid_token", error_description="{detail}"'
    return UnauthenticatedError(detail, code=code, reason=reason, headers={"WWW-Authenticate": challenge})


def insufficient_scope(grant: str | None) -> dict[str, str]:
    """Headers of a 403 answer; ``grant`` is the scope or app role that would help."""
    scope = f', scope="{grant}"' if grant else ""
    return {"WWW-Authenticate": f'{_REALM}, error="insufficient_scope"{scope}'}
