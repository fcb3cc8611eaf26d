"""The discovery document and the key set that clients and APIs configure themselves from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.entra.signing import KeyRing
    from local.entra.tokens import Tenant


def discovery_document(tenant: Tenant, base_url: str) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0 §3; the endpoints are on ``base_url``, the issuer is always the same."""
    tenant_url = f"{base_url}/{tenant.directory.tenant_id}"
    oauth = f"{tenant_url}/oauth2/v2.0"
    return {
        "issuer": tenant.issuer,
        "authorization_endpoint": f"{oauth}/authorize",
        "token_endpoint": f"{oauth}/token",
        "device_authorization_endpoint": f"{oauth}/devicecode",
        "jwks_uri": f"{tenant_url}/discovery/v2.0/keys",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": [
            "client_secret_post",
            "client_secret_basic",
            "private_key_jwt",
        ],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "name", "preferred_username"],
    }


def key_set(keys: KeyRing, issuer: str) -> dict[str, Any]:
    """The published keys (RFC 7517 §5); each names its issuer, as Entra's do."""
    return {"keys": [key.public_jwk() | {"issuer": issuer} for key in keys.keys]}
