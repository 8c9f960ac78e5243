"""Blocks connections beyond loopback while a cassette or an emulator is in use.

The names are patched through which Python code opens connections: sockets, name look-ups, and the
methods of event loops that bypass both. Other processes are not covered.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
from asyncio import proactor_events, selector_events
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias
from unittest import mock

from langchain_openrouter.testing.cassettes._mismatch import CassetteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Check: TypeAlias = "Callable[[Any, Any], None]"  # of a host and a port
_Patch: TypeAlias = tuple[Any, str, Any]  # an owner, its attribute, the replacement
_INTERNET = {socket.AF_INET, socket.AF_INET6}
_LOCAL_NAMES = {"", "localhost", "0.0.0.0", "::"}  # noqa: S104 - addresses to compare with


@contextmanager
def loopback_only(failed: list[str] | None = None) -> Iterator[None]:
    """Refuse connections to other machines, and look-ups of their names.

    The code that tries gets a `CassetteError`, before anything is sent.

    Args:
        failed: A list to which each refusal is appended, since a test may catch the error.
    """

    def check(host: Any, port: Any) -> None:
        if not _is_local(host):
            msg = f"the network is blocked: {_text(host)}:{port}"
            if failed is not None:
                failed.append(msg)
            raise CassetteError(msg)

    with ExitStack() as stack:
        for owner, name, guarded in [*_sockets(check), *_lookups(check), *_loops(check)]:
            stack.enter_context(mock.patch.object(owner, name, guarded))
        yield


def _is_local(host: Any) -> bool:
    text = "" if host is None else _text(host).lower()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text in _LOCAL_NAMES or text == socket.gethostname().lower()
    mapped = getattr(address, "ipv4_mapped", None)
    return text in _LOCAL_NAMES or (mapped or address).is_loopback


def _text(host: Any) -> str:
    return host.decode("latin-1") if isinstance(host, (bytes, bytearray)) else str(host)


def _sockets(check: _Check) -> Iterator[_Patch]:
    """Guard what a socket connects or sends to."""

    def guard(method: Any, position: int) -> Any:
        def guarded(self: socket.socket, *arguments: Any) -> Any:
            address = arguments[position] if len(arguments) > position else None
            if self.family in _INTERNET and isinstance(address, tuple):
                check(*address[:2])
            return method(self, *arguments)

        return guarded

    # The position of the address among the arguments: `sendto` may have flags before it.
    for name, position in {"connect": 0, "connect_ex": 0, "sendto": -1, "sendmsg": 3}.items():
        if hasattr(socket.socket, name):  # Windows has no `sendmsg`
            yield socket.socket, name, guard(getattr(socket.socket, name), position)


def _lookups(check: _Check) -> Iterator[_Patch]:
    """Guard look-ups of names, which go to a resolver on another machine."""

    def guard(function: Any) -> Any:
        def guarded(host: Any, port: Any = None, *arguments: Any, **options: Any) -> Any:
            check(host, port)
            return function(host, *([] if unary else [port]), *arguments, **options)

        unary = function is not socket.getaddrinfo
        return guarded

    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        yield socket, name, guard(getattr(socket, name))


def _loops(check: _Check) -> Iterator[_Patch]:
    """Guard event loops whose connections no Python socket opens: Windows' own, and uvloop's."""
    guards = {
        "create_connection": _guarded_connection,
        "create_datagram_endpoint": _guarded_datagrams,
        "getaddrinfo": _guarded_lookup,
        "sock_connect": _guarded_connect,
    }

    for loop in _loop_classes():
        for name, guard in guards.items():
            if name in vars(loop) or loop.__module__ == "uvloop":
                yield loop, name, guard(getattr(loop, name), check)


def _guarded_connection(method: Any, check: _Check) -> Any:
    async def create_connection(
        self: Any, factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        check(host, port)
        return await method(self, factory, host, port, **options)

    return create_connection


def _guarded_datagrams(method: Any, check: _Check) -> Any:
    async def create_datagram_endpoint(
        self: Any, factory: Any, local_addr: Any = None, remote_addr: Any = None, **options: Any
    ) -> Any:
        if isinstance(remote_addr, tuple):
            check(*remote_addr[:2])
        return await method(
            self, factory, local_addr=local_addr, remote_addr=remote_addr, **options
        )

    return create_datagram_endpoint


def _guarded_lookup(method: Any, check: _Check) -> Any:
    async def getaddrinfo(self: Any, host: Any, port: Any, **options: Any) -> Any:
        check(host, port)
        return await method(self, host, port, **options)

    return getaddrinfo


def _guarded_connect(method: Any, check: _Check) -> Any:
    async def sock_connect(self: Any, sock: socket.socket, address: Any) -> Any:
        if sock.family in _INTERNET:
            check(*address[:2])
        return await method(self, sock, address)

    return sock_connect


def _loop_classes() -> list[Any]:
    """Return the classes that define how a loop connects; uvloop's where it is in use."""
    uvloop = sys.modules.get("uvloop")
    return [
        asyncio.BaseEventLoop,
        selector_events.BaseSelectorEventLoop,
        proactor_events.BaseProactorEventLoop,
        *([uvloop.Loop] if uvloop is not None else []),
    ]
