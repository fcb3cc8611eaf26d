"""Errors of the OAuth endpoints."""

from __future__ import annotations


class OAuthError(Exception):
    """An error answer of the token endpoint (RFC 6749 §5.2).

    Args:
        code: The registered error code, such as ``invalid_grant``.
        description: One sentence for the developer who reads it.
        status: HTTP status of the answer.
        basic_challenge: Whether the answer asks for HTTP Basic credentials.
    """

    def __init__(
        self, code: str, description: str, *, status: int = 400, basic_challenge: bool = False
    ) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.status = status
        self.basic_challenge = basic_challenge
