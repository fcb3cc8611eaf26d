"""The sign-in on disk: encrypted where the platform can, otherwise a file that only its owner can read."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import msal_extensions
    from msal_extensions.persistence import BasePersistence

# Two names: the platform's key store may come and go (a remote shell, a locked key ring).
ENCRYPTED_FILE = "tokens.bin"
PLAIN_FILE = "tokens.json"
_EMPTY = "{}"


def open_token_cache(
    directory: Path, warn: Callable[[str], None] | None = None
) -> msal_extensions.PersistedTokenCache:
    """Open the token cache kept in ``directory``; several processes may use it at a time.

    Args:
        directory: Made when missing, for its owner only.
        warn: Told, in one sentence, when tokens are stored without encryption.
    """
    import msal_extensions

    persistence = _encrypted(directory)
    if persistence is None:
        persistence = _plain(directory)
        if warn is not None:
            warn(
                f"No key store on this machine: the sign-in is kept unencrypted in {directory / PLAIN_FILE}."
            )
    _discard_unreadable(persistence)
    return msal_extensions.PersistedTokenCache(persistence)


def forget_tokens(directory: Path) -> None:
    """Remove every saved token; needs no network."""
    if not directory.is_dir():
        return
    if (encrypted := _encrypted(directory)) is not None:
        encrypted.save(_EMPTY)
    for name in (ENCRYPTED_FILE, PLAIN_FILE):
        (directory / name).unlink(missing_ok=True)


def _encrypted(directory: Path) -> BasePersistence | None:
    from msal_extensions import build_encrypted_persistence

    _make_private(directory)
    # Each platform fails in its own way: no bindings, no key store, a key store that does not answer.
    with suppress(ImportError, ValueError, RuntimeError, OSError):
        return build_encrypted_persistence(str(directory / ENCRYPTED_FILE))
    return None


def _plain(directory: Path) -> BasePersistence:
    from msal_extensions import FilePersistence

    path = directory / PLAIN_FILE
    path.touch(mode=0o600)
    path.chmod(0o600)
    return FilePersistence(str(path))


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _discard_unreadable(persistence: BasePersistence) -> None:
    """Start anew where msal would fail for ever: on a file cut off, or encrypted for somebody else."""
    from msal_extensions.persistence import PersistenceDecryptionError, PersistenceNotFound

    try:
        readable = isinstance(json.loads(persistence.load()), dict)
    except PersistenceNotFound:
        readable = True
    except (ValueError, PersistenceDecryptionError):
        readable = False
    if not readable:
        persistence.save(_EMPTY)
