"""The keys that callers show: master key, function keys, system keys.

Source: learn.microsoft.com, "Work with access keys in Azure Functions".
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from local.functions_host.settings import SettingsError, read_json_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

BLOBS_EXTENSION = "blobs_extension"
"""Name of the system key that opens the webhook of the blob trigger."""


class AuthLevel(Enum):
    """Who may call an HTTP function."""

    ANONYMOUS = "anonymous"
    FUNCTION = "function"
    ADMIN = "admin"


@dataclass(frozen=True)
class HostKeys:
    """All keys of a host; never logged."""

    master: str = field(repr=False)
    function_keys: Mapping[str, str] = field(repr=False)
    system_keys: Mapping[str, str] = field(repr=False)

    def allow(self, level: AuthLevel, given: str | None) -> bool:
        """Whether ``given`` opens a function of this level."""
        if level is AuthLevel.ANONYMOUS:
            return True
        if level is AuthLevel.FUNCTION:
            return _is_one_of(given, (self.master, *self.function_keys.values()))
        return _is_one_of(given, (self.master,))

    def allow_system(self, name: str, given: str | None) -> bool:
        """Whether ``given`` opens the webhook whose system key is ``name``."""
        key = self.system_keys.get(name)
        return _is_one_of(given, (self.master, key) if key else (self.master,))


def parse_level(text: str) -> AuthLevel:
    """The level of a binding's ``authLevel``; none given means function, as in the programming model.

    Raises:
        ValueError: there is no such level.
    """
    return AuthLevel(text.lower() or AuthLevel.FUNCTION.value)


def generate_keys() -> HostKeys:
    """Fresh random keys, all that a host needs."""
    return HostKeys(
        master=secrets.token_urlsafe(32),
        function_keys={"default": secrets.token_urlsafe(32)},
        system_keys={BLOBS_EXTENSION: secrets.token_urlsafe(32)},
    )


def parse_keys(document: Mapping[str, Any], where: str) -> HostKeys:
    """Keys from JSON ``{"master", "functionKeys": {name: key}, "systemKeys": {name: key}}``.

    A missing key is made.

    Raises:
        SettingsError: the shape is wrong; ``where`` names the source.
    """
    made = generate_keys()
    master = document.get("master", made.master)
    groups = {
        "functionKeys": document.get("functionKeys", made.function_keys),
        "systemKeys": {**made.system_keys, **_object(document.get("systemKeys", {}), where, "systemKeys")},
    }
    for name, group in groups.items():
        for value in _object(group, where, name).values():
            if not isinstance(value, str) or not value:
                raise SettingsError(f"{where}: each of '{name}' must be a non-empty string.")
    if not isinstance(master, str) or not master:
        raise SettingsError(f"{where}: 'master' must be a non-empty string.")
    return HostKeys(master, dict(groups["functionKeys"]), dict(groups["systemKeys"]))


def keys_from_file(path: Path) -> HostKeys:
    """The keys in the file; a missing file is written with fresh keys, readable by its owner only.

    Raises:
        SettingsError: the file is there and cannot be used.
    """
    is_new = not path.exists()
    keys = generate_keys() if is_new else parse_keys(read_json_object(path), str(path))
    if is_new:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(keys_document(keys), file)
    return keys


def keys_document(keys: HostKeys) -> dict[str, Any]:
    """The JSON that ``parse_keys`` reads."""
    return {
        "master": keys.master,
        "functionKeys": dict(keys.function_keys),
        "systemKeys": dict(keys.system_keys),
    }


def _object(value: object, where: str, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(f"{where}: '{name}' must be an object.")
    return value


def _is_one_of(given: str | None, keys: Iterable[str]) -> bool:
    # All are compared, each in constant time: how long it takes says nothing about the keys.
    offered = (given or "").encode()
    return any([hmac.compare_digest(offered, key.encode()) for key in keys])  # noqa: C419 - no early end, see above
