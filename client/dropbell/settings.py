"""Where the command line's settings come from: an option, else the environment, else what ``login`` saved."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE = "settings.json"
DEFAULT_SCOPES = (
    "api://dropbell/Files.Read",
    "api://dropbell/Files.ReadWrite",
    "api://dropbell/Subscriptions.Manage",
    "api://dropbell/Deliveries.Read",
)


@dataclass(frozen=True)
class Settings:
    """What the commands need to know about the service and the issuer."""

    api: str | None = None
    authority: str | None = None
    client_id: str | None = None
    ca_file: str | None = None
    scopes: tuple[str, ...] = DEFAULT_SCOPES


def config_directory(environment: Mapping[str, str]) -> Path:
    """Return where the sign-in is kept: ``DROPBELL_CONFIG_DIR``, else the platform's place for it."""
    if explicit := environment.get("DROPBELL_CONFIG_DIR"):
        return Path(explicit)
    home = Path(environment.get("HOME") or Path.home())
    if sys.platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return base / "dropbell"


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Return where uploads under way are remembered: ``DROPBELL_CACHE_DIR``, else the platform's place."""
    if explicit := environment.get("DROPBELL_CACHE_DIR"):
        return Path(explicit)
    home = Path(environment.get("HOME") or Path.home())
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "dropbell" / "cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "dropbell"
    return Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "dropbell"


def resolve_settings(options: Mapping[str, Any], environment: Mapping[str, str], saved: Settings) -> Settings:
    """Take each setting from the first source that has it.

    Args:
        options: The command line's options by name; a missing or None one was not given.
        environment: ``DROPBELL_API``, ``DROPBELL_SCOPES`` (separated by spaces) and so on.
        saved: What ``login`` saved.
    """
    chosen: dict[str, Any] = {}
    for field in fields(Settings):
        given = options.get(field.name) or environment.get(f"DROPBELL_{field.name.upper()}")
        if given:
            is_list = field.name == "scopes"
            chosen[field.name] = (
                tuple(given.split() if isinstance(given, str) else given) if is_list else given
            )
    return replace(saved, **chosen)


def load_settings(directory: Path) -> Settings:
    """Read what ``login`` saved; without it, or when it is damaged, the defaults until the next ``login``."""
    try:
        saved = json.loads((directory / _FILE).read_text(encoding="utf-8"))
        known = {field.name: saved[field.name] for field in fields(Settings) if saved.get(field.name)}
        known["scopes"] = tuple(known.get("scopes", DEFAULT_SCOPES))
    except (OSError, ValueError, TypeError, AttributeError):
        return Settings()
    return Settings(**known)


def save_settings(directory: Path, settings: Settings) -> None:
    """Save the settings for later commands; no secret is among them."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / _FILE
    new = path.with_suffix(f".{os.getpid()}.new")
    new.write_text(json.dumps(asdict(settings), indent=2) + "\n", encoding="utf-8")
    new.replace(path)


def forget_settings(directory: Path) -> None:
    """Remove what ``login`` saved."""
    (directory / _FILE).unlink(missing_ok=True)
