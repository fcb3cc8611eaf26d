"""The WWW-Authenticate header of 401 and 403 answers (RFC 6750 §3)."""

from __future__ import annotations

import base64
import json
from typing import Final

from shared.errors import PermissionDeniedError, ProblemError, UnauthenticatedError

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


def with_scope(headers: dict[str, str], grant: str | None) -> dict[str, str]:
    """The headers of a 401 answer, with the scope or app role to ask for next (RFC 6750 §3)."""
    challenge = headers.get("WWW-Authenticate")
    if challenge is None or grant is None:
        return headers
    return headers | {"WWW-Authenticate": f'{challenge}, scope="{grant}"'}


def step_up(acrs: str, *, challenge: bool) -> ProblemError:
    """A stronger sign-in is needed: 401 with a claims challenge for clients that can take one, else 403.

    https://learn.microsoft.com/entra/identity-platform/claims-challenge
    """
    detail = "This needs a stronger sign-in than the one behind the token."
    reason = f"acrs-missing:{acrs}"
    if not challenge:
        return PermissionDeniedError(detail, code="claims-missing", reason=reason)
    wanted = {"access_token": {"acrs": {"essential": True, "value": acrs}}}
    claims = base64.b64encode(json.dumps(wanted, separators=(",", ":")).encode()).decode()
    error = f'error="insufficient_claims", error_description="{detail}", claims="{claims}"'
    return UnauthenticatedError(
        detail,
        code="claims-missing",
        reason=reason,
        headers={"WWW-Authenticate": f"{_REALM}, {error}"},
    )
