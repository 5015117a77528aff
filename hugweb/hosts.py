"""Which names requests may come to: the answer to DNS rebinding.

A page on the web can point a name of its own at this machine and so become same-origin with it;
it cannot choose the ``Host`` header that the browser then sends. No such name is an address, nor ends as
names do that are nobody's on the web. On loopback both are what Ollama takes, since requests get there by
ways round: ``host.docker.internal`` is this machine for a container. Looks nothing up.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.ASCII)

# Names that the public DNS gives to nobody, as Ollama takes them: containers call their host by such ones.
_NEAR = (".localhost", ".local", ".internal")
# Addresses of no use outside of their network (RFC 1918, RFC 4193): forwarded ports bring them along.
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Hosts:
    """The names that a server bound to ``bound`` answers to; ``extra`` ones come from settings."""

    def __init__(self, bound: str, *, on_loopback: bool, extra: Iterable[str] = ()) -> None:
        self._on_loopback = on_loopback
        self._names = {name.lower() for name in (bound, socket.gethostname(), *extra)}

    def allow(self, host: str) -> bool:
        """Whether ``host``, the value of a Host header, is one of ours; any port is."""
        name = _name(host)
        if name is None:
            return False
        if name in self._names or name == "localhost" or name.endswith(_NEAR):
            return True
        address = _address(name)
        if address is None:
            return False
        # Clients that are told to ask 0.0.0.0, as a server is to listen there, reach this machine by it.
        here = address.is_loopback or address.is_unspecified
        return here or not self._on_loopback or any(address in net for net in _PRIVATE)


def _name(host: str) -> str | None:
    match = _HOST.fullmatch(host.lower())
    return match["name"].strip("[]").removesuffix(".") if match else None


def _address(name: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
