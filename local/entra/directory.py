"""The tenant as data: the API, test users and applications. ``directory.json`` is the built-in one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, StringConstraints, TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable

BUILT_IN = Path(__file__).with_name("directory.json")

_STRICT: ConfigDict = {"extra": "forbid"}
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

_GUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

type Guid = Annotated[str, StringConstraints(to_lower=True, pattern=_GUID)]
type Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


def _checked_certificates(pems: tuple[str, ...]) -> tuple[str, ...]:
    from cryptography import x509

    for pem in pems:
        x509.load_pem_x509_certificate(pem.encode())
    return pems


@dataclass(frozen=True, slots=True)
class Api:
    """The protected API: what a token is issued for. Every scope counts as consented to."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    client_id: Guid
    app_id_uri: str
    scopes: tuple[Name, ...]
    app_roles: tuple[Name, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """The prefixes by which a requested scope can name this API."""
        return (self.app_id_uri, f"api://{self.client_id}", self.client_id)


@dataclass(frozen=True, slots=True)
class User:
    """A test user; ``roles`` are the app roles assigned to the person."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: Name
    display_name: str
    preferred_username: str
    object_id: Guid
    roles: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class App:
    """A registered client. With a secret or certificates it is confidential and can act for itself."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: Name
    client_id: Guid
    object_id: Guid
    """Of its service principal: the ``oid`` of its app-only tokens."""
    secret: str | None = None
    certificates: Annotated[tuple[str, ...], AfterValidator(_checked_certificates)] = ()
    """PEM; their keys sign the application's client assertions."""
    roles: tuple[Name, ...] = ()
    redirect_uris: tuple[str, ...] = ()

    @property
    def is_confidential(self) -> bool:
        """Whether it can prove who it is."""
        return self.secret is not None or bool(self.certificates)

    def redirects_to(self, uri: str) -> bool:
        """Whether ``uri`` is registered. The port of a loopback address does not matter (RFC 8252 §7.3)."""
        return _without_loopback_port(uri) in {_without_loopback_port(known) for known in self.redirect_uris}


@dataclass(frozen=True, slots=True)
class Directory:
    """One tenant."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    tenant_id: Guid
    api: Api
    users: tuple[User, ...]
    apps: tuple[App, ...]

    def __post_init__(self) -> None:
        _unique("user name", (user.name for user in self.users))
        _unique("app name", (app.name for app in self.apps))
        _unique("client id", (self.api.client_id, *(app.client_id for app in self.apps)))
        members: list[User | App] = [*self.users, *self.apps]
        _unique("object id", (member.object_id for member in members))
        for member in members:
            unknown = set(member.roles) - set(self.api.app_roles)
            if unknown:
                raise ValueError(
                    f"{member.name} has app roles that the API does not define: {sorted(unknown)}"
                )

    def user(self, login: str) -> User | None:
        """The user by name or by sign-in name."""
        wanted = login.strip().lower()
        return next((u for u in self.users if wanted in {u.name.lower(), u.preferred_username.lower()}), None)

    def app(self, name_or_client_id: str) -> App | None:
        """The application by name or by client id."""
        wanted = name_or_client_id.lower()
        return next((app for app in self.apps if wanted in {app.name.lower(), app.client_id}), None)

    def public_client(self) -> App | None:
        """The first application that is not confidential: the one that tokens for users are minted for."""
        return next((app for app in self.apps if not app.is_confidential), None)


def load_directory(path: Path = BUILT_IN) -> Directory:
    """Read and check a directory file; raises OSError or ValueError, which say what is wrong."""
    return TypeAdapter(Directory).validate_json(path.read_bytes())


def _unique(what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"two entries share the {what} {value}")
        seen.add(value)


def _without_loopback_port(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri
    if parts.scheme == "http" and parts.hostname in _LOOPBACK_HOSTS:
        return parts._replace(netloc=parts.hostname, path=parts.path.rstrip("/")).geturl()
    return uri
