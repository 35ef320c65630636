"""HTTP to addresses that tenants name: to the public Internet alone, one answer, within a size and a time.

The name is resolved once, every address that it has is checked, and the connection goes to the checked address
itself, so that a second answer of the name server cannot lead elsewhere. No redirects, no proxies, no cookies.
``OUTBOUND_HOSTS`` lists what the operator allows besides, such as a push server in the own network.
"""

from __future__ import annotations

import ipaddress
import json as json_of
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpcore
from django.conf import settings

from fleet.lib.outbound import Answer, Forbidden, OutboundError

PORTS = (80, 443, 8080, 8443)
LARGEST_ANSWER = 100_000
LONGEST_URL = 2_000
MOST_ADDRESSES = 8
DENIED = [
    ipaddress.ip_network(text)
    for text in (
        # IANA's special-purpose registries of IPv4 and IPv6 addresses, whatever the interpreter's table says.
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "::/127", "64:ff9b:1::/48", "100::/63", "2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20",
        "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
        # Clouds answer their machines' questions about themselves at these public addresses.
        "168.63.129.16/32",
    )
]  # fmt: skip
_lookups = threading.BoundedSemaphore(32)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def call(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    json: Any = None,
    seconds: float = 10.0,
) -> Answer:
    """Call an address that a tenant named and read its whole answer.

    Args:
        seconds: for all of it: resolving, connecting, sending, and the answer to its last byte.

    Raises:
        Forbidden: the address is none of the public Internet.
        OutboundError: nobody answers, not in time, or with too much.
    """
    parts = check(url)
    content = json_of.dumps(json).encode() if json is not None else body
    sent = {"Host": parts.netloc, "User-Agent": "Motorpool", "Accept": "*/*", "Connection": "close", **(headers or {})}
    if json is not None:
        sent.setdefault("Content-Type", "application/json")
    if content is not None:
        sent["Content-Length"] = str(len(content))
    deadline = time.monotonic() + seconds
    backend = _Backend(deadline)
    try:
        with (
            httpcore.ConnectionPool(network_backend=backend, ssl_context=_tls(), max_connections=1) as pool,
            pool.stream(
                method, url, headers=[(k.encode(), v.encode()) for k, v in sent.items()], content=content,
                extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), seconds)},
            ) as answer,
        ):  # fmt: skip
            found = bytearray()
            for chunk in answer.iter_stream():
                found += chunk
                if len(found) > LARGEST_ANSWER:
                    raise OutboundError(f"The answer has more than {LARGEST_ANSWER} bytes.")
            kept = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
            return Answer(answer.status, bytes(found), kept)
    except (httpcore.TimeoutException, TimeoutError):
        raise OutboundError(f"No whole answer within {seconds:.0f} s.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
        raise OutboundError(f"No answer ({type(error).__name__}: {str(error)[:120]}).") from None
    except (UnicodeError, ValueError) as error:
        raise Forbidden(f"This is no address that can be called ({str(error)[:120]}).") from None


def check(url: str) -> Any:
    """What can be said of an address without resolving it.

    Raises:
        Forbidden: it is not http or https, carries credentials, or asks for an unusual port.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Forbidden("This is no address that can be called.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or len(url) > LONGEST_URL:
        raise Forbidden("Give an address that begins with https:// or http://.")
    if any(ord(letter) <= 32 or ord(letter) > 126 for letter in url) or "\\" in url:
        raise Forbidden("The address holds characters that do not belong into one.")
    if parts.username is not None or parts.password is not None:
        raise Forbidden("The address must not hold a user name or a password.")
    effective = port or (443 if parts.scheme == "https" else 80)
    if effective not in PORTS and not _allowed(parts.hostname, effective):
        raise Forbidden(f"Port {effective} is not one that this portal calls ({', '.join(map(str, PORTS))}).")
    return parts


def _allowed(host: str, port: int) -> bool:
    """Whether the operator allows it although it is not public."""
    allowed: Iterable[str] = settings.OUTBOUND_HOSTS
    return f"{host.lower()}:{port}" in allowed


def is_public(address: _Address) -> bool:
    """Whether an address is one of the public Internet, also where another is wrapped in it."""
    if any(address in network for network in DENIED if network.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is None and int(address) >> 32 == 0:
            return False  # the old IPv4-compatible form
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """The addresses of a name, each once, at most `MOST_ADDRESSES`; the system's resolver itself knows no deadline.

    Raises:
        httpcore.ConnectTimeout: no answer in time. httpcore.ConnectError: the name is not known.
    """
    if not _lookups.acquire(timeout=seconds):
        raise httpcore.ConnectTimeout("too many names are being looked up")
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.put(error)
        finally:
            _lookups.release()

    threading.Thread(target=look_up, daemon=True, name="resolve").start()
    try:
        found = answer.get(timeout=seconds)
    except queue.Empty:
        raise httpcore.ConnectTimeout(f"the name server does not answer for {host}") from None
    if isinstance(found, Exception):
        raise httpcore.ConnectError(f"{host} is not known") from found
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MOST_ADDRESSES]


class _Backend(httpcore.SyncBackend):
    """Connections to checked addresses, under one deadline."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """Resolve once, check all, connect to the first that answers."""
        addresses = _resolve(host, port, self._left())
        if not _allowed(host, port) and not all(is_public(ipaddress.ip_address(a.split("%")[0])) for a in addresses):
            raise Forbidden(f"{host} is not an address of the public Internet.")
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for number, address in enumerate(addresses):
            left = self._left()
            share = left if number + 1 == len(addresses) else left / 2
            try:
                stream = super().connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, self._left)
        raise failure

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        """Never."""
        raise Forbidden("Sockets of this machine are not called.")

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time is up")
        return left


class _Stream(httpcore.NetworkStream):
    """A connection whose every wait ends at the deadline, so that a drop a second does not hold it open."""

    def __init__(self, inner: httpcore.NetworkStream, left: Any) -> None:
        self._inner = inner
        self._left = left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has arrived."""
        return self._inner.read(max_bytes, self._left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        self._inner.write(buffer, self._left())

    def close(self) -> None:
        """Let it go."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same, encrypted."""
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, self._left()), self._left)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a connection."""
        return self._inner.get_extra_info(info)


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
