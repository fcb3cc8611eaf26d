"""Run the issuer: ``python -m local.entra --port 7003 [--tls-port 7443 --ca-file ca.pem]``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

from local.entra.certificate import new_server_identity
from local.entra.directory import BUILT_IN, load_directory
from local.entra.server import EntraServer
from local.entra.signing import KeyRing
from local.entra.token_endpoint import TokenEndpoint
from local.entra.tokens import Tenant
from local.part import LOOPBACK, http_site, log_to_stdout, stop_requested

_log = logging.getLogger("local.entra")


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError(text)
    return port


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.entra", description="Entra ID's local stand-in.")
    parser.add_argument("--port", type=_port, required=True, help="http port; part of the issuer's name")
    parser.add_argument("--tls-port", type=_port, help="https port for MSAL, at https://localhost:PORT")
    parser.add_argument(
        "--ca-file", type=Path, help="where to write the certificate that https clients must trust"
    )
    parser.add_argument("--config", type=Path, default=BUILT_IN, help="a directory file (see directory.json)")
    parser.add_argument(
        "--data-dir", type=Path, help="keep the signing keys here, so that tokens survive a restart"
    )
    arguments = parser.parse_args()
    if (arguments.tls_port is None) != (arguments.ca_file is None):
        parser.error("--tls-port and --ca-file go together")
    return arguments


async def _serve(arguments: argparse.Namespace) -> None:
    base_url = f"http://{LOOPBACK}:{arguments.port}"
    directory = load_directory(arguments.config)
    keys = KeyRing.open(arguments.data_dir / "signing_keys.json" if arguments.data_dir else None)
    tenant = Tenant(directory, issuer=f"{base_url}/{directory.tenant_id}/v2.0")
    server = EntraServer(TokenEndpoint(tenant, keys, clock=time.time), base_url)
    async with AsyncExitStack() as stack:
        if arguments.tls_port is not None:
            identity = new_server_identity()
            arguments.ca_file.parent.mkdir(parents=True, exist_ok=True)
            arguments.ca_file.write_bytes(identity.authority_pem)
            site = http_site(server.application(), arguments.tls_port, ssl_context=identity.context)
            await stack.enter_async_context(site)
            _log.info("https authority https://localhost:%d/%s", arguments.tls_port, directory.tenant_id)
        await stack.enter_async_context(http_site(server.application(), arguments.port))
        _log.info("issuer %s", tenant.issuer)
        await stop_requested()


def main() -> int:
    """Serve until asked to stop; 1 when the configuration, a file or a port cannot be used."""
    arguments = _arguments()
    log_to_stdout()
    try:
        asyncio.run(_serve(arguments))
    except (OSError, ValueError) as error:
        _log.error("cannot start: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
