"""Which port each part of the stack listens on."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass, fields

from local.part import LOOPBACK


@dataclass(frozen=True, slots=True)
class Ports:
    """One port for each listener, in the order in which ``--port-base`` numbers them."""

    api: int
    issuer: int
    issuer_tls: int
    inbox: int
    inbox_smtp: int
    blob: int
    queue: int
    table: int
    service_bus: int
    event_grid: int
    app_insights: int

    @classmethod
    def from_base(cls, base: int) -> Ports:
        """Consecutive ports from ``base``."""
        return cls(*range(base, base + len(fields(cls))))

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody listens on just now."""
        with ExitStack() as held:
            sockets = [held.enter_context(socket.socket()) for _ in fields(cls)]
            for one in sockets:
                one.bind((LOOPBACK, 0))
            return cls(*(one.getsockname()[1] for one in sockets))
