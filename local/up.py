"""The whole platform on one machine: start every part, wait until each is healthy, stop them in order."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from local.azurite import StoragePorts
from local.part import LOOPBACK
from local.ports import Ports
from local.process import PartProcess, StackError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

ROOT = Path(__file__).parent.parent
SERVICE_BUS_CONFIG = Path(__file__).parent / "service_bus.config.json"
SERVICE_BUS_KEY_NAME = "RootManageSharedAccessKey"
SERVICE_BUS_KEY = "SAS_KEY_VALUE"
"""The emulator's well-known key; no secret."""
DIRECTORY = json.loads((Path(__file__).parent / "entra" / "directory.json").read_text())
"""The test tenant: its users, applications and the API itself."""
UPLOADS_CONTAINER = "uploads"
TABLE = "dropbell"
QUEUE = "notifications"
SECRETS_KEY = "bG9jYWwtZGV2ZWxvcG1lbnQta2V5LW5vdC1zZWNyZXQ="
"""Seals webhook secrets on the local stack; everybody knows it, so it protects nothing."""
MAX_FILE_BYTES = 8 * 1024**3
"""The local stack takes large files, so that streaming can be tried."""
EVENT_RETRY_SECONDS = "0.2,0.5,1,2,5"
"""Event Grid's own schedule starts at 10 s; nobody wants to wait for that here."""
INSTRUMENTATION_KEY = "00000000-0000-4000-8000-000000000001"
"""Made up: our stand-in for Application Insights takes any."""
WATCH_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything is; the keys of the ready file (docs/api.md)."""

    api: str
    issuer: str
    authority: str
    """For MSAL: https with one path segment, to be trusted by ``ca_file``."""
    ca_file: str
    inbox: str
    inbox_smtp: str
    app_insights: str
    blob_endpoint: str
    table_endpoint: str
    storage_connection_string: str
    service_bus_connection_string: str
    event_grid: str
    logs: str
    host_pid: int = 0
    worker_pids: list[int] = field(default_factory=list)


class Stack:
    """Every part of the platform. Use it as a context: inside, all of it is healthy."""

    def __init__(
        self,
        *,
        port_base: int | None = None,
        data_dir: Path | None = None,
        ready_file: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; ``settings`` of the app count more than the stack's own and the environment's."""
        self._settings = settings or {}
        self._ports = Ports.free() if port_base is None else Ports.from_base(port_base)
        self._keeps_data = data_dir is not None
        self._ready_files = [ROOT / ".local" / "running.json", *([ready_file] if ready_file else [])]
        self._dir = data_dir.resolve() if data_dir else Path(tempfile.mkdtemp(prefix="dropbell-"))
        self._storage = StoragePorts(self._ports.blob, self._ports.queue, self._ports.table)
        self._started: list[PartProcess] = []
        self.addresses = self._addresses()

    async def __aenter__(self) -> Self:
        starting = asyncio.create_task(self._start())
        try:
            while not starting.done():
                await asyncio.wait({starting}, timeout=WATCH_SECONDS)
                self._check_running()  # a part may be missed that another one only waits for
            await starting
        except BaseException:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def worker_pids(self) -> list[int]:
        """The processes that run the function app just now."""
        pids: list[int] = json.loads(self._status_file.read_text())["worker_pids"]
        return pids

    async def watch(self) -> None:
        """Keep the ready files true; raises StackError when a part ends by itself."""
        while True:
            self._check_running()
            self._write_ready_files()
            await asyncio.sleep(WATCH_SECONDS)

    def _check_running(self) -> None:
        for part in self._started:
            if part.process is not None and part.process.returncode is not None:
                raise part.failure(f"ended by itself with exit code {part.process.returncode}")

    async def stop(self) -> None:
        """Stop the parts, those that depend on others first; remove what nobody asked to keep."""
        for file in self._ready_files:
            with suppress(OSError, ValueError):
                if json.loads(file.read_text())["logs"] == self.addresses.logs:
                    file.unlink()
        consumers = [part for part in self._started if part.name in {"functions host", "Event Grid"}]
        for part in consumers:
            await part.stop()
        await asyncio.gather(*(part.stop() for part in self._started if part not in consumers))
        self._started.clear()
        if not self._keeps_data:
            shutil.rmtree(self._dir, ignore_errors=True)

    async def _start(self) -> None:
        for folder in (self._dir / "logs", ROOT / ".local"):
            folder.mkdir(parents=True, exist_ok=True)
        keys = self._write_keys()
        self._write_event_subscriptions(keys["systemKeys"]["blobs_extension"])
        base = [self._azurite(), self._service_bus(), self._entra(), self._inbox(), self._app_insights()]
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await self._start_all(base)
            storage, *others = base
            await asyncio.gather(
                self._storage_ready(storage, session), *(part.healthy(session) for part in others)
            )
            apps = [self._functions_host(), self._event_grid()]
            await self._start_all(apps)
            for part in apps:
                await part.healthy(session)
        self._write_ready_files()

    async def _start_all(self, parts: list[PartProcess]) -> None:
        for part in parts:
            self._started.append(part)
            await part.start()

    async def _storage_ready(self, storage: PartProcess, session: aiohttp.ClientSession) -> None:
        from azure.core.exceptions import ResourceExistsError
        from azure.data.tables.aio import TableServiceClient
        from azure.storage.blob.aio import BlobServiceClient

        await storage.healthy(session)
        connection_string = self.addresses.storage_connection_string
        async with BlobServiceClient.from_connection_string(connection_string) as blobs:
            with suppress(ResourceExistsError):
                await blobs.create_container(UPLOADS_CONTAINER)
        async with TableServiceClient.from_connection_string(connection_string) as tables:
            await tables.create_table_if_not_exists(TABLE)

    def _part(self, name: str, *arguments: str | Path | int, **options: Any) -> PartProcess:
        log_file = self._dir / "logs" / f"{name.replace(' ', '_').lower()}.log"
        return PartProcess(name, [str(argument) for argument in arguments], log_file, **options)

    def _azurite(self) -> PartProcess:
        arguments: list[str | Path | int] = ["local.azurite", "--access-log", self._access_log]
        for service, port in self._storage._asdict().items():
            arguments += [f"--{service}-port", port]
        arguments += ["--data-dir", self._folder("azurite")]
        return self._part("Azurite", *arguments, health_ports=self._storage)

    def _service_bus(self) -> PartProcess:
        arguments: list[str | Path | int] = ["local.service_bus", "--port", self._ports.service_bus]
        arguments += ["--config", SERVICE_BUS_CONFIG]
        if self._keeps_data:
            arguments += ["--data-dir", self._folder("service_bus")]
        return self._part("Service Bus", *arguments, health_ports=[self._ports.service_bus])

    def _entra(self) -> PartProcess:
        arguments: list[str | Path | int] = ["local.entra", "--port", self._ports.issuer]
        arguments += ["--tls-port", self._ports.issuer_tls, "--ca-file", self.addresses.ca_file]
        if self._keeps_data:
            arguments += ["--data-dir", self._folder("entra")]
        return self._part("Entra ID", *arguments, health_urls=[f"{_http(self._ports.issuer)}/health"])

    def _inbox(self) -> PartProcess:
        arguments: list[str | Path | int] = ["local.inbox", "--port", self._ports.inbox]
        arguments += ["--smtp-port", self._ports.inbox_smtp]
        if self._keeps_data:
            arguments += ["--data-dir", self._folder("inbox")]
        return self._part("inbox", *arguments, health_urls=[f"{self.addresses.inbox}/health"])

    def _app_insights(self) -> PartProcess:
        arguments: list[str | Path | int] = ["local.app_insights", "--port", self._ports.app_insights]
        if self._keeps_data:
            arguments += ["--data-dir", self._folder("app_insights")]
        return self._part("App Insights", *arguments, health_urls=[f"{self.addresses.app_insights}/health"])

    def _functions_host(self) -> PartProcess:
        return self._part(
            "functions host",
            *("local.functions_host", ROOT, "--port", self._ports.api),
            *("--keys-file", self._keys_file, "--status-file", self._status_file),
            *("--data-dir", self._folder("functions_host")),
            health_urls=[f"{self.addresses.api}/api/health?deep=1"],
            environment=self._app_settings(),
        )

    def _event_grid(self) -> PartProcess:
        return self._part(
            "Event Grid",
            *("local.event_grid", "--port", self._ports.event_grid, "--access-log", self._access_log),
            *("--connection-string", self.addresses.storage_connection_string),
            *("--subscriptions", self._dir / "event_subscriptions.json"),
            *("--retry-schedule-seconds", EVENT_RETRY_SECONDS, "--data-dir", self._folder("event_grid")),
            health_urls=[f"{self.addresses.event_grid}/health"],
        )

    def _app_settings(self) -> dict[str, str]:
        """The settings of the function app; what the environment sets already is kept."""
        defaults = {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(MAX_FILE_BYTES),
            "DROPBELL_MAX_FILE_BYTES": str(MAX_FILE_BYTES),
            "DROPBELL_MAX_REQUEST_BYTES": str(MAX_FILE_BYTES),
            "DROPBELL_CORS_ALLOWED_ORIGINS": f"http://{LOOPBACK}:*,http://localhost:*",
            "DROPBELL_MAIL_FROM": "dropbell@localhost.localdomain",
            "DROPBELL_TARGET_RATE_PER_SECOND": "0",  # receivers here are our own
            "DROPBELL_SWEEP_SCHEDULE": "*/10 * * * * *",
            "DROPBELL_WEBHOOK_ALLOWED_HOSTS": f"{LOOPBACK},localhost",
            "DROPBELL_SECRETS_KEY": SECRETS_KEY,
            "DROPBELL_TRACE_SAMPLE_RATIO": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "500",  # nobody wants to wait for a trace here
            "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        }
        fixed = {
            "AzureWebJobsStorage": self.addresses.storage_connection_string,
            "DropbellStorage": self.addresses.storage_connection_string,
            "DropbellServiceBus": self.addresses.service_bus_connection_string,
            "DROPBELL_UPLOADS_CONTAINER": UPLOADS_CONTAINER,
            "DROPBELL_TABLE": TABLE,
            "DROPBELL_QUEUE": QUEUE,
            "DROPBELL_BLOB_TRIGGER_SOURCE": "EventGrid",
            "DROPBELL_TOKEN_ISSUER": self.addresses.issuer,
            "DROPBELL_TOKEN_AUDIENCES": DIRECTORY["api"]["client_id"],
            "DROPBELL_PUBLIC_URL": self.addresses.api,
            "DROPBELL_SMTP_HOST": LOOPBACK,
            "DROPBELL_SMTP_PORT": str(self._ports.inbox_smtp),
            "DROPBELL_SMTP_SECURITY": "none",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": (
                f"InstrumentationKey={INSTRUMENTATION_KEY};IngestionEndpoint={self.addresses.app_insights};"
                f"LiveEndpoint={self.addresses.app_insights}"
            ),
        }
        kept = {name: os.environ.get(name, value) for name, value in defaults.items()}
        return {**kept, **fixed, **self._settings}

    def _addresses(self) -> Addresses:
        ports, tenant_id = self._ports, DIRECTORY["tenant_id"]
        return Addresses(
            api=_http(ports.api),
            issuer=f"{_http(ports.issuer)}/{tenant_id}/v2.0",
            authority=f"https://localhost:{ports.issuer_tls}/{tenant_id}",
            ca_file=str(self._dir / "ca.pem"),
            inbox=_http(ports.inbox),
            inbox_smtp=f"{LOOPBACK}:{ports.inbox_smtp}",
            app_insights=_http(ports.app_insights),
            blob_endpoint=self._storage.blob_endpoint,
            table_endpoint=self._storage.table_endpoint,
            storage_connection_string=self._storage.connection_string,
            service_bus_connection_string=(
                f"Endpoint=sb://{LOOPBACK}:{ports.service_bus};SharedAccessKeyName={SERVICE_BUS_KEY_NAME};"
                f"SharedAccessKey={SERVICE_BUS_KEY};UseDevelopmentEmulator=true;"
            ),
            event_grid=_http(ports.event_grid),
            logs=str(self._dir / "logs"),
        )

    @property
    def _access_log(self) -> Path:
        return self._dir / "logs" / "azurite_access.log"

    @property
    def _keys_file(self) -> Path:
        return self._dir / "host_keys.json"

    @property
    def _status_file(self) -> Path:
        return self._dir / "host_status.json"

    def _folder(self, name: str) -> Path:
        folder = self._dir / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _write_keys(self) -> dict[str, Any]:
        if not self._keys_file.exists():
            keys = {
                "master": secrets.token_urlsafe(32),
                "functionKeys": {"default": secrets.token_urlsafe(32)},
                "systemKeys": {"blobs_extension": secrets.token_urlsafe(32)},
            }
            self._keys_file.touch(mode=0o600)
            self._keys_file.write_text(json.dumps(keys))
        kept: dict[str, Any] = json.loads(self._keys_file.read_text())
        return kept

    def _write_event_subscriptions(self, key: str) -> None:
        query = f"functionName=Host.Functions.announce&code={key}"
        subscription = {
            "name": "uploads",
            "endpoint": f"{self.addresses.api}/runtime/webhooks/blobs?{query}",
            "subject_begins_with": f"/blobServices/default/containers/{UPLOADS_CONTAINER}/blobs/",
            "included_event_types": ["Microsoft.Storage.BlobCreated"],
        }
        (self._dir / "event_subscriptions.json").write_text(json.dumps([subscription]))

    def _write_ready_files(self) -> None:
        with suppress(OSError, ValueError):  # being replaced at this moment: the next look sees it
            status = json.loads(self._status_file.read_text())
            told = asdict(self.addresses) | {
                "host_pid": status["host_pid"],
                "worker_pids": status["worker_pids"],
            }
            for file in self._ready_files:
                text = json.dumps(told, indent=2) + "\n"
                if not file.exists() or file.read_text() != text:
                    unfinished = file.with_name(f"{file.name}.new")
                    unfinished.write_text(text)
                    unfinished.replace(file)


def _http(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


__all__ = ["Addresses", "Stack", "StackError"]
