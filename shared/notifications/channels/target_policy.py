"""Which addresses a notification may be sent to: safe against server-side request forgery by default.

Only public addresses count, whatever name or spelling leads to them. The sender checks the address it is
about to connect to, after name resolution, so that a name that resolves differently the second time (DNS
rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.errors import TargetNotAllowedError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

MAX_TARGET_CHARACTERS = 2048
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are an IPv4 address."""
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All that is assigned as global unicast in IPv6 (RFC 4291 §2.4)."""
_NOBODYS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890): services of whichever network one is in
        "192.88.99.0/24",  # relays of 6to4, given up (RFC 7526)
        "2001::/23",  # as the first
        "3fff::/20",  # documentation (RFC 9637)
    )
)
"""Some of these count as global, but no subscriber's server is there."""
_AZURE_PLATFORM = ipaddress.ip_address("168.63.129.16")
"""Azure's own address for virtual machines: public by its number, reachable from inside only."""
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


def is_public_address(address: str) -> bool:
    """Whether ``address`` is global unicast, judged by the IPv4 address inside it where it has one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public_address(str(inner))
        if ip not in _GLOBAL_UNICAST:
            return False
    if any(ip in network for network in _NOBODYS):
        return False
    return ip.is_global and not ip.is_multicast and ip != _AZURE_PLATFORM


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be posted to, as far as can be seen without resolving its name."""

    url: str
    host: str
    port: int
    allowed_by_name: bool
    """The operator listed this host: its address is not checked and plain http is taken."""


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """What the operator allows beside public https targets: hosts by name, or ``host:port``."""

    allowed_hosts: AbstractSet[str] = frozenset()

    def check_url(self, url: str) -> Target:
        """Read a target URL; raises TargetNotAllowedError with a sentence for the subscriber."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise TargetNotAllowedError("The target is not a URL.") from None
        host = (parts.hostname or "").rstrip(".").lower()
        if len(url) > MAX_TARGET_CHARACTERS or any(c <= " " or c == "\\" or c == "\x7f" for c in url):
            raise TargetNotAllowedError("The target is not a URL of reasonable length.")
        if parts.scheme not in {"http", "https"} or not host:
            raise TargetNotAllowedError("The target must be an https URL with a host.")
        if parts.username is not None or parts.password is not None:
            raise TargetNotAllowedError("The target must not carry a user name or password.")
        if parts.fragment:
            raise TargetNotAllowedError("The target must not have a fragment.")
        if port is None:
            port = 443 if parts.scheme == "https" else 80
        allowed = host in self.allowed_hosts or f"{host}:{port}" in self.allowed_hosts
        if parts.scheme != "https" and not allowed:
            raise TargetNotAllowedError("The target must be an https URL.")
        if port == 0 or not (_is_address(host) or _NAME.fullmatch(host)):
            raise TargetNotAllowedError("The target's host must be a name in ASCII or a plain address.")
        if not allowed and not _may_be_public(host):
            raise TargetNotAllowedError("The target must be a public address.")
        return Target(url, host, port, allowed)


def _may_be_public(host: str) -> bool:
    """Whether the host can be public, as far as its spelling tells."""
    if _is_address(host):
        return is_public_address(host)
    last = host.rpartition(".")[2]
    # Octal, hexadecimal or short IPv4 spellings that some resolvers take: 0x7f.1, 2130706433.
    return last != "localhost" and not last.isdigit() and not last.startswith("0x")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
