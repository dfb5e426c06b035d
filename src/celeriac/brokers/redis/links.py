"""Connections to servers, blocking and awaiting.

redis-py makes them: TCP, TLS, sockets in the file system, login, database. What is said on them is packed and read here
by hiredis, so that the deadline holds for a whole exchange and not for each read.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as NoAnswer
from redis.retry import Retry

from celeriac.brokers.redis.exchange import Lost, TimeUp, Unreached, Words
from celeriac.brokers.redis.failures import translate
from celeriac.brokers.redis.location import Address, Location, Login
from celeriac.brokers.redis.requests import Refused
from celeriac.errors import OperationalError

READ_SIZE: Final = 65536
_KEEPALIVE: Final = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}
"""A connection whose other end has vanished is found out after a minute, also while nothing is said."""
_pack: Final[Any] = cast("Any", hiredis).pack_command  # Its declared type allows one word only.


def pack(commands: Sequence[Words]) -> bytes:
    """Return the commands as the server reads them; floats so that they come back as they were.

    hiredis is given no numbers: it crashes the process if a signal's handler raises while it turns one into text, as a
    soft time limit does, and Ctrl-C (hiredis 3.5.0).
    """
    return b"".join(
        [_pack(tuple([one if isinstance(one, (bytes, str)) else repr(one) for one in words])) for words in commands]
    )


def _options(location: Location, address: Address, patience: float, retry: Any) -> dict[str, Any]:
    """Return what redis-py is told about a connection."""
    options: dict[str, Any] = {
        "socket_timeout": patience,
        "socket_connect_timeout": patience,
        "protocol": 2,
        "retry": retry,  # The exchange decides what is tried again.
        "redis_connect_func": _leave_greeting,
    }
    if not address.port:
        return options | {"path": address.host}
    options |= {
        "host": address.host,
        "port": address.port,
        "socket_keepalive": True,
        "socket_keepalive_options": _KEEPALIVE,
    }
    tls = location.tls
    if tls is not None:
        options |= {
            "ssl_cert_reqs": tls.cert_reqs,
            "ssl_ca_certs": tls.ca_certs,
            "ssl_certfile": tls.certfile,
            "ssl_keyfile": tls.keyfile,
            "ssl_check_hostname": tls.check_hostname,
        }
    return options


def _leave_greeting(connection: Any) -> None:
    """Stands where redis-py would log in: we do that under the deadline, and in one round trip."""


def _greeting(location: Location, address: Address) -> list[Words]:
    """Return what is said first on a connection."""
    login: Login = location.sentinel_login if address.sentinel else location.login
    said: list[Words] = []
    if login.password is not None:
        said.append(["AUTH", login.password] if login.username is None else ["AUTH", login.username, login.password])
    if location.client_name is not None:
        said.append(["CLIENT", "SETNAME", location.client_name])
    if location.db and not address.sentinel:
        said.append(["SELECT", location.db])
    return said


def _check_greeting(replies: Sequence[Any], location: Location) -> None:
    """Raise what the server said against us, if it did."""
    for reply in replies:
        if isinstance(reply, Refused):
            error = translate(reply, location.name)
            raise Unreached(str(error)) if isinstance(error, OperationalError) else error


def _failure(exc: Exception, location: Location, address: Address) -> Exception:
    """Return the error for a connection that could not be made."""
    cause = exc.__cause__ or exc.__context__
    for one in (exc, cause):
        if isinstance(one, ssl.SSLError):
            if "WRONG_VERSION_NUMBER" in str(one) or "record layer failure" in str(one).lower():
                return Unreached(f"{address} does not speak TLS: write redis:// in place of rediss://", final=True)
            return Unreached(
                f"TLS with {address} failed ({one}): check ssl_ca_certs, the host name in the certificate, and"
                " ssl_certfile and ssl_keyfile if the server wants a certificate of ours",
                final=True,
            )
    if isinstance(cause, FileNotFoundError) and location.tls is not None and address.port:
        return Unreached(f"a file with a certificate or key does not exist: {cause}", final=True)
    if isinstance(exc, (NoAnswer, TimeoutError)):
        hint = " (if it does not speak TLS, write redis:// in place of rediss://)" if location.tls is not None else ""
        return Unreached(f"{address} did not answer{hint}")
    return Unreached(str(exc).rstrip("."))


def _hung_up(exc: Lost, location: Location, address: Address) -> Unreached:
    hint = "" if location.tls is not None else " (if it speaks TLS, write rediss:// in place of redis://)"
    return Unreached(f"{address}: {exc}{hint}")


def _reader() -> Any:
    make: Any = hiredis.Reader  # By its declared type a refusal would have to be an exception.
    return make(replyError=Refused)


def _next(reader: Any) -> Any:
    """Return the next reply; False, which no server says in this protocol, while it is not whole.

    Raises:
        EOFError: This is no Redis, or what it says is spoiled; nothing more can be read from the connection.
    """
    try:
        return reader.gets(False)
    except hiredis.HiredisError as exc:
        raise EOFError(f"what it says is not the protocol of Redis ({exc}): check the port") from None


class Link:
    """One blocking connection, for one thread at a time.

    Args:
        location: What the URL says.
        address: The server.
        patience: Seconds to wait for it.

    Raises:
        Unreached: There is no connection.
        BrokerError: The server does not let us in.
    """

    def __init__(self, location: Location, address: Address, patience: float) -> None:
        options = _options(location, address, patience, Retry(NoBackoff(), 0))
        make: Any = redis.Connection if address.port else redis.UnixDomainSocketConnection
        if location.tls is not None and address.port:
            make = redis.SSLConnection
        self._connection: Any = make(**options)
        try:
            self._connection.connect()
        except (RedisError, OSError) as exc:
            self.close()
            raise _failure(exc, location, address) from exc
        except BaseException:
            self.close()
            raise
        self._reader: Final = _reader()
        self._socket: Final[Any] = self._connection._sock
        self._tls: Final = isinstance(self._socket, ssl.SSLSocket)
        self._socket.setblocking(False)
        self._news: Final = select.poll()
        self._news.register(self._socket, select.POLLIN)
        try:
            self._greet(location, address, time.monotonic() + patience)
        except BaseException:
            self.close()
            raise

    def _greet(self, location: Location, address: Address, deadline: float) -> None:
        greeting = _greeting(location, address)
        try:
            if greeting:
                _check_greeting(self.exchange(greeting, deadline), location)
        except TimeUp:
            raise Unreached(f"{address} did not answer") from None
        except Lost as exc:
            raise _hung_up(exc, location, address) from None

    @property
    def stale(self) -> bool:
        """Whether the server has closed it, or has said something that nobody asked for."""
        return bool(self._news.poll(0))

    def exchange(self, commands: Sequence[Words], deadline: float) -> list[Any]:
        """Say the commands and return the replies; a refusal is a :class:`Refused` in its place.

        Raises:
            Lost: The connection broke.
            TimeUp: The deadline came.
        """
        return self.hear_all(lambda: self.say(commands, deadline), len(commands), deadline)

    def hear_all(self, said: Callable[[], None], count: int, deadline: float) -> list[Any]:
        """Return so many replies to what was said; ``said`` raises what went wrong with that.

        Raises:
            Lost: The connection broke.
            TimeUp: The deadline came.
        """
        try:
            said()
            return [self.hear(deadline) for _ in range(count)]
        except TimeoutError:
            raise TimeUp(sent=True) from None
        except (OSError, EOFError) as exc:
            raise Lost(str(exc) or type(exc).__name__) from exc

    def say(self, commands: Sequence[Words], deadline: float) -> None:
        """Send the commands."""
        data, sent = pack(commands), 0
        if not self._tls:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
        if sent < len(data):
            self._socket.settimeout(_left(deadline))
            try:
                self._socket.sendall(data[sent:])
            finally:
                self._socket.setblocking(False)

    def hear(self, deadline: float) -> Any:
        """Return the next reply."""
        while (reply := _next(self._reader)) is False:
            data = self._receive(deadline)
            if not data:
                raise EOFError("the server closed the connection")
            self._reader.feed(data)
        return reply

    def _receive(self, deadline: float) -> bytes:
        if self._tls:  # What can be read may have come already, so that waiting for the socket were for ever.
            self._socket.settimeout(_left(deadline))
            try:
                return bytes(self._socket.recv(READ_SIZE))
            finally:
                self._socket.setblocking(False)
        # The socket stays as it is: a timeout of its own would take twice the system calls.
        while True:
            if not self._news.poll(1000 * _left(deadline)):
                raise TimeoutError
            try:
                data: bytes = self._socket.recv(READ_SIZE)
            except BlockingIOError:
                continue
            return data

    def hear_at_once(self) -> list[Any]:
        """Return what has been said to us, without waiting."""
        found: list[Any] = []
        while True:
            try:
                data = self._socket.recv(READ_SIZE)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return found
            if not data:
                raise EOFError("the server closed the connection")
            self._reader.feed(data)
            while (reply := _next(self._reader)) is not False:
                found.append(reply)

    def fileno(self) -> int:
        """Return what becomes readable when the server says something."""
        number: int = self._socket.fileno()
        return number

    def close(self) -> None:
        """Close it. Safe to call twice."""
        self._connection.disconnect()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class AsyncLink:
    """The awaiting twin of :class:`Link`, for one task at a time; made by :meth:`open`. Callers keep the deadline."""

    def __init__(self, connection: Any) -> None:
        self._connection: Final = connection
        self._reader: Final = _reader()
        self._stream: Final[asyncio.StreamReader] = connection._reader
        self._writer: Final[asyncio.StreamWriter] = connection._writer

    @classmethod
    async def open(cls, location: Location, address: Address, patience: float) -> AsyncLink:
        """Connect. The arguments and errors are those of :class:`Link`."""
        options = _options(location, address, patience, AsyncRetry(NoBackoff(), 0))
        make: Any = redis.asyncio.Connection if address.port else redis.asyncio.UnixDomainSocketConnection
        if location.tls is not None and address.port:
            make = redis.asyncio.SSLConnection
        connection: Any = make(**options)
        try:
            await connection.connect()
        except (RedisError, OSError) as exc:
            await connection.disconnect(nowait=True)
            raise _failure(exc, location, address) from exc
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        link = cls(connection)
        greeting = _greeting(location, address)
        try:
            if greeting:
                _check_greeting(await link.exchange(greeting), location)
        except Lost as exc:
            await link.close()
            raise _hung_up(exc, location, address) from None
        except BaseException:
            await link.close()
            raise
        return link

    @property
    def stale(self) -> bool:
        """Whether the server has closed it."""
        return self._stream.at_eof() or self._stream.exception() is not None or self._writer.is_closing()

    async def exchange(self, commands: Sequence[Words]) -> list[Any]:
        """Say the commands and return the replies.

        Raises:
            Lost: The connection broke.
        """
        try:
            self._writer.write(pack(commands))
            await self._writer.drain()
            return [await self.hear() for _ in commands]
        except TimeoutError:
            raise
        except (OSError, EOFError) as exc:
            raise Lost(str(exc) or type(exc).__name__) from exc

    def say(self, commands: Sequence[Words]) -> None:
        """Send the commands, as soon as there is room."""
        self._writer.write(pack(commands))

    async def hear(self) -> Any:
        """Return the next reply.

        Raises:
            OSError, EOFError: The connection broke.
        """
        while (reply := _next(self._reader)) is False:
            data = await self._stream.read(READ_SIZE)
            if not data:
                raise EOFError("the server closed the connection")
            self._reader.feed(data)
        return reply

    def cut(self) -> None:
        """End the connection; who hears it is told so."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close it without waiting for the server: an event loop that ends now must leave nothing open."""
        self._writer.transport.abort()
        await self._connection.disconnect(nowait=True)
        await asyncio.sleep(0)  # It is closed in the next round of the loop.

    def abandon(self) -> None:
        """Close it after the end of its event loop, which can do no more for it."""
        transport: Any = self._writer.transport
        self._connection._writer = self._connection._reader = None  # Or redis-py complains that it is open.
        inner: Any = getattr(transport, "_sock", None)
        if inner is not None:
            inner.close()
            transport._sock = None  # Or asyncio does.
