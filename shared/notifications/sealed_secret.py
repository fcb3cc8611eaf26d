"""A subscription's signing secret at rest: AES-256-GCM under the service's own key."""

from __future__ import annotations

import base64
import secrets

KEY_BYTES = 32
_NONCE_BYTES = 12
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that Standard Webhooks gives to secrets, not a secret
_SECRET_BYTES = 32


def new_secret() -> str:
    """A fresh signing secret in the form Standard Webhooks uses: ``whsec_`` and base64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


class SecretBox:
    """Seals and opens secrets; what is sealed for one subscription cannot be opened for another."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key must have {KEY_BYTES} bytes")
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(key)

    def seal(self, secret: str, *, subscription_id: str) -> str:
        """The secret, encrypted and bound to ``subscription_id``; base64."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, secret.encode(), subscription_id.encode())
        return base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, *, subscription_id: str) -> str:
        """The reverse of ``seal``; raises ValueError when the key or the subscription is another."""
        from cryptography.exceptions import InvalidTag

        raw = base64.b64decode(sealed)
        try:
            opened = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], subscription_id.encode())
        except InvalidTag as error:
            raise ValueError("the secret was sealed with another key or for another subscription") from error
        return opened.decode()
