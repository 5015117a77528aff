"""The socket that the server listens on, taken at the very start so that a start fails early."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

BACKLOG = 1024


class CannotListen(Exception):
    """The address cannot be used; the message says what to do."""


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address, and not listening yet: nobody is kept waiting."""
    if not 0 <= port <= 65535:
        raise CannotListen(f"The port is {port}; allowed is a whole number from 0 to 65535.")
    with _explained(host, port):
        family, kind, protocol, _, address = _resolve(host, port)
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(address)
        return listener


def listen(listener: socket.socket) -> None:
    """Take connections from now on. Fails when somebody else began to, since ``bind``."""
    with _explained(*listener.getsockname()[:2]):
        listener.listen(BACKLOG)


def url_of(host: str, port: int) -> str:
    """The base of the addresses that this machine reaches the server at."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (not bound here)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _resolve(host: str, port: int) -> tuple:
    """The first address of ``host``, one of IPv4 before one of IPv6: clients expect that of localhost."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return min(found, key=lambda entry: entry[0] != socket.AF_INET)


@contextlib.contextmanager
def _explained(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"Port {port} of {host} is in use: Ollama or another HugWeb may be running there."
                " Stop it, or choose another port with --port."
            ) from error
        raise CannotListen(f"Cannot listen on port {port} of {host}: {error.strerror}.") from error
