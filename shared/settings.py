"""The only reader of the environment: every setting of the application, validated, with what is wrong said.

In Azure these are app settings (``infra/``); with Core Tools they come from ``local.settings.json``; on the
local stack from ``local/up.py``.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from shared.identity.allowed_origins import AllowedOrigins
from shared.identity.token import TokenPolicy
from shared.identity.trusted_issuer import (
    DISCOVERY_PATH,
    ENTRA_V1,
    ENTRA_V2,
    OPENID_CONNECT,
    TrustedIssuer,
    single_tenant_template,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STORAGE = "DropbellStorage"
"""Name of the storage connection, as the triggers use it."""
SERVICE_BUS = "DropbellServiceBus"
"""Name of the Service Bus connection, as the triggers use it."""
CONNECTIONS: Mapping[str, frozenset[str]] = {
    STORAGE: frozenset({f"{STORAGE}__blobServiceUri", f"{STORAGE}__tableServiceUri"}),
    SERVICE_BUS: frozenset({f"{SERVICE_BUS}__fullyQualifiedNamespace"}),
}
"""A connection string, or these and a managed identity instead."""
BLOB_SOURCE = "DROPBELL_BLOB_TRIGGER_SOURCE"
EVENT_GRID = "EventGrid"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
MAX_FILE_BYTES = 50_000 * 4 * 1024**2
"""As many blocks as a blob can have, of the size that is staged at once: 195 GiB."""
LEASE_MARGIN_SECONDS = 10.0
"""A worker's lease outlasts the attempt's time limit by this much, to settle in."""


class SettingsError(ValueError):
    """One or more settings are missing or wrong; the message names each and says what is expected."""


def _comma_separated(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _key(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        raw = base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("must be base64") from None
    if len(raw) != 32:
        raise ValueError("must be 32 bytes in base64; make one with: openssl rand -base64 32")
    return raw


def _https_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or (parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK_HOSTS)):
        raise ValueError("must be an https URL with a host (plain http only on this machine)")
    return url


def _origins(listed: list[str]) -> list[str]:
    AllowedOrigins(listed)  # says what is wrong
    return listed


_MediaRange = Annotated[str, Field(pattern=r"^(\*/\*|[A-Za-z0-9!#$&^_.+-]+/(\*|[A-Za-z0-9!#$&^_.+-]+))$")]
_Url = Annotated[str, AfterValidator(_https_url)]
_DelaySeconds = Annotated[float, Field(gt=0, le=7 * 86400)]


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be a JSON list") from None


_SHAPES = {"entra-v1": ENTRA_V1, "entra-v2": ENTRA_V2, "oidc": OPENID_CONNECT}
_Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


def _sending_identity(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = dict(part.partition("=")[::2] for part in value.split(";") if part)
    if parts.pop("Authorization", None) != "AAD" or parts.keys() - {"ClientId"}:
        raise ValueError("must be Authorization=AAD, and ClientId=<id> where it is a user-assigned identity")
    return parts.get("ClientId", "")


class ClaimNames(BaseModel):
    """Claims that take the place of those of the issuer's kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    tenant: str | None = None
    subject: str | None = None
    clients: _Names | None = None
    scopes: _Names | None = None
    roles: _Names | None = None
    app_only: tuple[str, str] | None = None
    """A claim and the value by which an app-only token is told."""


class IssuerSetting(BaseModel):
    """One of ``DROPBELL_TOKEN_ISSUERS``; docs/identity.md explains each member."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Literal["entra-v1", "entra-v2", "oidc"]
    issuer: _Url
    audiences: _Names
    discovery_url: _Url | None = None
    """None: the issuer's own, by OpenID Connect Discovery 1.0 §4."""
    tenants: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ("RS256",)
    claims: ClaimNames = ClaimNames()
    app_clients: tuple[str, ...] = ()

    def row(self) -> TrustedIssuer:
        """The issuer as the application knows it; raises ValueError that says what does not fit."""
        issuer, tenants = self.issuer, frozenset(self.tenants)
        shape = replace(_SHAPES[self.kind], **self.claims.model_dump(exclude_none=True))
        if shape.tenant is not None and not tenants and (template := single_tenant_template(issuer)):
            issuer, tenants = template[0], frozenset({template[1]})
        discovery_url = self.discovery_url or issuer.rstrip("/") + DISCOVERY_PATH
        return TrustedIssuer(
            issuer,
            frozenset(self.audiences),
            discovery_url,
            shape,
            tenants,
            frozenset(self.algorithms),
            frozenset(client.lower() if shape.guids else client for client in self.app_clients),
        )


class Settings(BaseModel):
    """What the application is told. Field aliases are the names of the environment variables."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    storage: SecretStr | None = Field(None, alias=STORAGE)
    """Connection string; instead of it, the service URIs below and a managed identity."""
    blob_service_uri: str | None = Field(None, alias=f"{STORAGE}__blobServiceUri")
    table_service_uri: str | None = Field(None, alias=f"{STORAGE}__tableServiceUri")
    storage_client_id: str | None = Field(None, alias=f"{STORAGE}__clientId")
    """Client id of the user-assigned managed identity; none for the system-assigned one."""

    service_bus: SecretStr | None = Field(None, alias=SERVICE_BUS)
    """Connection string; instead of it, the namespace below and a managed identity."""
    service_bus_namespace: str | None = Field(None, alias=f"{SERVICE_BUS}__fullyQualifiedNamespace")
    service_bus_client_id: str | None = Field(None, alias=f"{SERVICE_BUS}__clientId")

    uploads_container: str = Field("uploads", alias="DROPBELL_UPLOADS_CONTAINER", min_length=3)
    table: str = Field("dropbell", alias="DROPBELL_TABLE", min_length=3)
    queue: str = Field("notifications", alias="DROPBELL_QUEUE", min_length=1)

    token_issuer: _Url | None = Field(None, alias="DROPBELL_TOKEN_ISSUER")
    """The ``iss`` of Entra v2 tokens: ``https://login.microsoftonline.com/<tenant id>/v2.0``, or with
    ``{tid}`` for the id of each of the tenants below."""
    token_audiences: Annotated[list[str], BeforeValidator(_comma_separated)] = Field(
        [], alias="DROPBELL_TOKEN_AUDIENCES", min_length=1
    )
    """The ``aud`` values taken, comma-separated: the client id of the API's app registration."""
    token_tenants: Annotated[list[str], BeforeValidator(_comma_separated)] = Field(
        [], alias="DROPBELL_TOKEN_TENANTS"
    )
    """The ids of the tenants let in, comma-separated, when the issuer has ``{tid}``."""
    token_issuers: Annotated[list[IssuerSetting], BeforeValidator(_json)] = Field(
        [], alias="DROPBELL_TOKEN_ISSUERS"
    )
    """Further issuers, a JSON list: Entra v1, other audiences, any OpenID Connect issuer."""
    token_required_acrs: str | None = Field(
        None, alias="DROPBELL_TOKEN_REQUIRED_ACRS", pattern=r"^[A-Za-z0-9_-]{1,64}$"
    )
    """The authentication context (Conditional Access) that users must have signed in with, such as ``c1``."""
    token_leeway_seconds: int = Field(60, alias="DROPBELL_TOKEN_LEEWAY_SECONDS", ge=0, le=300)

    public_url: _Url = Field(alias="DROPBELL_PUBLIC_URL")
    """Base URL that clients and links use, without a path."""
    secrets_key: Annotated[bytes, BeforeValidator(_key)] = Field(alias="DROPBELL_SECRETS_KEY", repr=False)
    """32 bytes in base64 that encrypt the signing secrets of subscriptions at rest."""

    max_file_bytes: int = Field(10 * 1024**3, alias="DROPBELL_MAX_FILE_BYTES", gt=0, le=MAX_FILE_BYTES)
    """Largest file, whichever way it comes in."""
    max_request_bytes: int = Field(100 * 1024**2, alias="DROPBELL_MAX_REQUEST_BYTES", gt=0)
    """Largest body of one request; the Functions host itself takes 100 MiB unless told otherwise."""
    owner_quota_bytes: int | None = Field(None, alias="DROPBELL_OWNER_QUOTA_BYTES", gt=0)
    """How much each owner may keep; none for no limit."""
    owner_quota_files: int | None = Field(None, alias="DROPBELL_OWNER_QUOTA_FILES", gt=0)
    allowed_content_types: Annotated[list[_MediaRange], BeforeValidator(_comma_separated)] = Field(
        ["*/*"], alias="DROPBELL_ALLOWED_CONTENT_TYPES"
    )
    """Media ranges taken, such as ``image/*``, comma-separated."""
    blocked_content_types: Annotated[list[_MediaRange], BeforeValidator(_comma_separated)] = Field(
        [], alias="DROPBELL_BLOCKED_CONTENT_TYPES"
    )
    """Media ranges refused even so, by what is declared and by what the bytes show."""
    upload_expires_seconds: float = Field(
        86_400, alias="DROPBELL_UPLOAD_EXPIRES_SECONDS", gt=0, le=6 * 86_400
    )
    """So long after its last byte an upload is kept; Blob Storage drops unused blocks after a week."""
    direct_upload_url_seconds: float = Field(900, alias="DROPBELL_DIRECT_UPLOAD_URL_SECONDS", gt=0, le=86_400)
    """How long the URL of a direct upload can be used."""
    deleted_keep_seconds: float = Field(7 * 86_400, alias="DROPBELL_DELETED_KEEP_SECONDS", ge=0)
    """How long the bytes of a deleted file stay."""
    malware_scanning: Literal["off", "required"] = Field("off", alias="DROPBELL_MALWARE_SCANNING")
    """``required``: no file is announced or handed out before Defender for Storage has found it clean."""
    malware_scan_patience_seconds: float = Field(
        3600, alias="DROPBELL_MALWARE_SCAN_PATIENCE_SECONDS", ge=60, le=7 * 86_400
    )
    """So long after it was stored, a file without a verdict is told of to operators."""
    rate_limit_requests: int = Field(6_000, alias="DROPBELL_RATE_LIMIT_REQUESTS", ge=0)
    """Requests that each caller can make of each instance within the window below; 0 for no limit."""
    rate_limit_window_seconds: int = Field(60, alias="DROPBELL_RATE_LIMIT_WINDOW_SECONDS", gt=0, le=86_400)
    cors_allowed_origins: Annotated[
        list[str], BeforeValidator(_comma_separated), AfterValidator(_origins)
    ] = Field([], alias="DROPBELL_CORS_ALLOWED_ORIGINS")
    """Web pages of these origins may call the API; ``http://localhost:*`` stands for any port."""
    content_url: _Url | None = Field(None, alias="DROPBELL_CONTENT_URL")
    """Base URL of a CDN in front of Blob Storage, for redirects to content; none for Blob Storage itself."""
    retry_schedule_seconds: Annotated[list[_DelaySeconds] | None, BeforeValidator(_comma_separated)] = Field(
        None, alias="DROPBELL_RETRY_SCHEDULE_SECONDS"
    )
    """Delays between attempts, comma-separated."""
    delivery_timeout_seconds: float = Field(15, alias="DROPBELL_DELIVERY_TIMEOUT_SECONDS", gt=0, le=40)
    """Time limit of one attempt; with the lease's margin it stays below the queue's lock of one minute."""
    mail_from: str | None = Field(None, alias="DROPBELL_MAIL_FROM", pattern=r"^[^@\s<>]+@[^@\s<>]+$")
    """The address that e-mail comes from; without it, and one of the two below, e-mail is not offered."""
    smtp_host: str | None = Field(None, alias="DROPBELL_SMTP_HOST")
    smtp_port: int = Field(587, alias="DROPBELL_SMTP_PORT", gt=0, lt=65_536)
    smtp_security: Literal["starttls", "tls", "none"] = Field("starttls", alias="DROPBELL_SMTP_SECURITY")
    """``none`` on this machine only."""
    smtp_username: str | None = Field(None, alias="DROPBELL_SMTP_USERNAME")
    smtp_password: SecretStr | None = Field(None, alias="DROPBELL_SMTP_PASSWORD")
    mail_endpoint: _Url | None = Field(None, alias="DROPBELL_MAIL_ENDPOINT")
    """Of Azure Communication Services, instead of SMTP: ``https://<resource>.communication.azure.com``."""
    mail_client_id: str | None = Field(None, alias="DROPBELL_MAIL_CLIENT_ID")
    """Client id of the managed identity that sends; none for the system-assigned one."""
    target_rate_per_second: float = Field(50, alias="DROPBELL_TARGET_RATE_PER_SECOND", ge=0)
    """Deliveries to one target that each instance sends at most; 0 for as many as come."""
    deliveries_keep_seconds: float = Field(90 * 86_400, alias="DROPBELL_DELIVERIES_KEEP_SECONDS", ge=3600)
    """How long the history of a file's deliveries is kept."""
    webhook_allowed_hosts: Annotated[list[str], BeforeValidator(_comma_separated)] = Field(
        [], alias="DROPBELL_WEBHOOK_ALLOWED_HOSTS"
    )
    """Hosts (or ``host:port``) that may be private and plain http. For local use; empty in Azure."""

    application_insights: SecretStr | None = Field(None, alias="APPLICATIONINSIGHTS_CONNECTION_STRING")
    """Connection string of Application Insights; none for no telemetry but log records."""
    application_insights_identity: Annotated[str | None, BeforeValidator(_sending_identity)] = Field(
        None, alias="APPLICATIONINSIGHTS_AUTHENTICATION_STRING"
    )
    """Client id of the managed identity that telemetry is sent as, empty for the system-assigned one; set as
    ``Authorization=AAD;ClientId=<id>`` (https://learn.microsoft.com/azure/azure-monitor/app/azure-ad-authentication).
    None: the connection string is enough."""
    trace_sample_ratio: float = Field(0.1, alias="DROPBELL_TRACE_SAMPLE_RATIO", ge=0, le=1)
    """Share of traces that are exported, failures apart: those always are."""
    telemetry_interval_milliseconds: int = Field(5_000, alias="OTEL_BSP_SCHEDULE_DELAY", ge=50, le=60_000)
    """How often spans and events are exported (OpenTelemetry's name for it)."""
    metric_interval_milliseconds: int = Field(
        60_000, alias="OTEL_METRIC_EXPORT_INTERVAL", ge=50, le=3_600_000
    )
    """How often metrics are exported (OpenTelemetry's name for it)."""

    @property
    def token_policy(self) -> TokenPolicy:
        """Which tokens are believed; raises ValueError that names the setting that does not fit."""
        wanted = {f"DROPBELL_TOKEN_ISSUERS: {number}": each for number, each in enumerate(self.token_issuers)}
        if self.token_issuer is not None:
            wanted["DROPBELL_TOKEN_ISSUER"] = IssuerSetting(
                kind="entra-v2",
                issuer=self.token_issuer,
                audiences=tuple(self.token_audiences),
                tenants=tuple(self.token_tenants),
            )
        rows = []
        for name, each in wanted.items():
            try:
                rows.append(each.row())
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        try:
            return TokenPolicy(
                tuple(rows),
                leeway_seconds=self.token_leeway_seconds,
                required_acrs=self.token_required_acrs,
            )
        except ValueError as error:
            raise ValueError(f"DROPBELL_TOKEN_ISSUERS: {error}") from None

    @property
    def max_one_request_bytes(self) -> int:
        """Largest file that can come in one request."""
        return min(self.max_file_bytes, self.max_request_bytes)

    @property
    def lease_seconds(self) -> float:
        """How long a claim of a delivery holds."""
        return self.delivery_timeout_seconds + LEASE_MARGIN_SECONDS


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read and validate; raises SettingsError with a line for each setting that is missing or wrong.

    A variable that is empty counts as not set. No value is repeated in the message: it may be a secret.
    """
    names = {str(field.alias) for field in Settings.model_fields.values()}
    known = {name: environment[name] for name in names if environment.get(name, "").strip()}
    wrong = [
        _line(connection, "set it, or " + " and ".join(sorted(instead)))
        for connection, instead in CONNECTIONS.items()
        if connection not in known and not known.keys() >= instead
    ]
    wrong += [_line(name, "Field required") for name in _missing_for_tokens(known)]
    try:
        settings = Settings.model_validate(known)
        if not wrong:
            _ = settings.token_policy
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        wrong += [_line(_place(fault["loc"]), fault["msg"]) for fault in faults]
    except ValueError as error:
        wrong.append(f"  {error}")
    if wrong:
        raise SettingsError("Settings are missing or wrong:\n" + "\n".join(wrong))
    return settings


def _missing_for_tokens(known: Mapping[str, str]) -> list[str]:
    """An issuer and its audiences, unless issuers are listed otherwise."""
    needed = ("DROPBELL_TOKEN_ISSUER", "DROPBELL_TOKEN_AUDIENCES")
    if "DROPBELL_TOKEN_ISSUERS" in known and needed[0] not in known:
        return []
    return [name for name in needed if name not in known]


def _place(location: tuple[int | str, ...]) -> str:
    """The setting, and where in it."""
    name, *inside = location
    return ": ".join([str(name), *([".".join(map(str, inside))] if inside else [])])


def _line(name: str, message: str) -> str:
    text = "is not set" if message == "Field required" else message.removeprefix("Value error, ")
    return f"  {name}: {text}"


def blob_trigger_source(environment: Mapping[str, str] = os.environ) -> str:
    """Where blob events come from: ``EventGrid``, or ``LogsAndContainerScan`` where there is no Event Grid.

    Read while functions are indexed, before anything else is needed.
    """
    return environment.get(BLOB_SOURCE, "") or EVENT_GRID
