"""The issuer's RSA signing keys: the active one, those kept for tokens already out, and their file."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ALGORITHM = "RS256"
_KEY_BITS = 2048


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key pair. Its id is its thumbprint (RFC 7638)."""

    private_key: rsa.RSAPrivateKey
    kid: str

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key pair of 2048 bits."""
        return cls.of(rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS))

    @classmethod
    def of(cls, private_key: rsa.RSAPrivateKey) -> SigningKey:
        """The key pair with its id."""
        return cls(private_key, cls.thumbprint(RSAAlgorithm.to_jwk(private_key.public_key(), as_dict=True)))

    @staticmethod
    def thumbprint(jwk: Mapping[str, Any]) -> str:
        """The SHA-256 thumbprint of an RSA key (RFC 7638 §3)."""
        canonical = json.dumps({name: jwk[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
        return base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()

    def public_jwk(self) -> dict[str, Any]:
        """The public half as a JWK (RFC 7517), with the members that Entra publishes: no ``alg``."""
        members = RSAAlgorithm.to_jwk(self.private_key.public_key(), as_dict=True)
        return {"kty": "RSA", "use": "sig", "kid": self.kid, "n": members["n"], "e": members["e"]}

    def public_pem(self) -> bytes:
        """The public half as PEM."""
        return self.private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def private_pem(self) -> str:
        """The private half as unencrypted PEM."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()


@dataclass(slots=True)
class KeyRing:
    """The published keys, the active one first. With a ``path`` they survive a restart."""

    path: Path | None = None
    keys: list[SigningKey] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path | None) -> KeyRing:
        """The keys stored at ``path``, or a new key; raises ValueError when the file cannot be used."""
        if path is not None and path.exists():
            return cls(path, [_from_pem(pem, path) for pem in _stored_pems(path)])
        ring = cls(path, [SigningKey.generate()])
        ring.save()
        return ring

    @property
    def active(self) -> SigningKey:
        """The key that signs new tokens."""
        return self.keys[0]

    def roll_over(self, *, revoke: bool) -> None:
        """Sign with a new key from now on; ``revoke`` drops the others instead of leaving them published."""
        self.keys = [SigningKey.generate(), *([] if revoke else self.keys)]
        self.save()

    def save(self) -> None:
        """Write the keys beside the old file, then put them in its place."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        content = json.dumps({"private_keys_pem": [key.private_pem() for key in self.keys]}, indent=2)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(content)
        draft.replace(self.path)


def _stored_pems(path: Path) -> list[str]:
    try:
        content = json.loads(path.read_text())
        pems = content["private_keys_pem"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a file of signing keys; delete it to start with a new key"
        ) from error
    if not isinstance(pems, list) or not pems or not all(isinstance(pem, str) for pem in pems):
        raise ValueError(f"{path} holds no signing keys; delete it to start with a new key")
    return pems


def _from_pem(pem: str, path: Path) -> SigningKey:
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except ValueError as error:
        raise ValueError(f"{path} holds a damaged key; delete it to start with a new key") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError(f"{path} holds a key that is not an RSA key; delete it to start with a new key")  # noqa: TRY004 - the file's content is wrong, not a caller's argument
    return SigningKey.of(key)
