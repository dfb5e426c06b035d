"""Carries out requests: sends by the connection of the running event loop, reads from the process's mailbox."""

from __future__ import annotations

from typing import Any, Protocol

from celeriac.brokers.deadline import after
from celeriac.brokers.rabbitmq.client import Client
from celeriac.brokers.rabbitmq.hub import hub
from celeriac.brokers.rabbitmq.requests import Count, Look, Now, Outgoing, Publish
from celeriac.brokers.rabbitmq.url import Location
from celeriac.core.message import StoredResult, pack_result
from celeriac.results.rpc.mailbox import INTERIM, Mailbox
from celeriac.results.rpc.requests import Deliver, Drop, Expire, Read, Request


class Post(Protocol):
    """What leads to the server, and to what came from there."""

    @property
    def location(self) -> Location: ...

    def client(self) -> Client:
        """Return the running event loop's way to the server."""
        ...

    def mailbox(self) -> Mailbox:
        """Return the process's mailbox."""
        ...

    async def opened(self, deadline: float) -> None:
        """See to it that the mailbox is read."""
        ...

    def close(self) -> None:
        """Read the mailbox no more, for now."""
        ...


class AsyncRpcPerformer:
    """Carries out requests on the running event loop."""

    def __init__(self, store: Post) -> None:
        self._store = store

    async def perform(self, request: Request) -> Any:
        match request:
            case Deliver():
                return await self._deliver(request)
            case Read():
                return await self._read(request)
            case Drop():
                return self._store.mailbox().drop(request.ids)
            case Expire():
                return self._store.mailbox().expire()
            case Now() | Count() | Look():
                return await self._store.client().perform(request)

    async def _deliver(self, request: Deliver) -> None:
        mailbox = self._store.mailbox()
        outgoing: list[Outgoing] = []
        headers = {INTERIM: True} if request.interim else None
        for result in request.results:
            if result.reply_to is None or result.reply_to == mailbox.address:
                # A task of our own that was revoked, say. If it is nobody's here, nobody waits for it.
                if mailbox.expects(result.id):
                    mailbox.put(result, interim=request.interim)
                continue
            # Not mandatory: whoever asked may be gone, and that is no error.
            outgoing.append(_message(result, headers))
        if outgoing:
            await self._store.client().perform(Publish(outgoing))

    async def _read(self, request: Read) -> list[StoredResult]:
        store = self._store
        mailbox = store.mailbox()
        found = mailbox.read(request.ids)
        if len(found) < len(request.ids):
            await store.opened(after(store.location.timeout))
            found = mailbox.read(request.ids)
        return found

    async def close(self) -> None:
        """Close this loop's connection; the process's mailbox stays for others."""
        await self._store.client().close()


class RpcPerformer:
    """The blocking twin, which works in the hub's thread."""

    def __init__(self, store: Post) -> None:
        self._store = store
        self._inner = AsyncRpcPerformer(store)

    def perform(self, request: Request) -> Any:
        mailbox = self._store.mailbox()
        if isinstance(request, Read):
            found = mailbox.read(request.ids)
            if len(found) == len(request.ids):
                return found
        return hub().run(self._inner.perform(request))

    def close(self) -> None:
        """Close the connections of the process; the next request opens them again."""
        hub().run(self._inner.close())
        self._store.close()


def _message(result: StoredResult, headers: dict[str, Any] | None) -> Outgoing:
    assert result.reply_to is not None
    return Outgoing("", result.reply_to, result.id, pack_result(result), 0, headers, mandatory=False)
