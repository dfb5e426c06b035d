"""What travels: Message, Lease, Delivery, Settlement, StoredResult.

A :class:`Message` is what a producer sends. It carries everything that Celery's message protocol 2 can say (headers,
properties and the body with its embed), so that a driver or a bridge can translate either way without loss, and adds
what Celeriac needs (workflow and node, the moment of parking). A broker keeps a message as bytes made by
:func:`pack` and the few values it sorts and searches by in its own columns.

All of these are frozen values; a change is a new value (``msgspec.structs.replace``).
"""

from __future__ import annotations

import sys
from math import isfinite
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from celeriac.core.ids import MAX_ID_BYTES
from celeriac.core.seal import Seal
from celeriac.core.state import SUCCESS
from celeriac.errors import DecodeError, InvalidTaskError

DEFAULT_QUEUE: Final = "celery"
MAX_PRIORITY: Final = 9
MAX_QUEUE_BYTES: Final = 200
MAX_NAME_BYTES: Final = 500
"""Longest name of a task, in UTF-8 bytes."""


class Place(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where a task stands in its workflow; see :mod:`celeriac.core.workflow`.

    Attributes:
        join, slot: Where its outcome arrives.
        awaits: The join whose values it is given; None for a task that starts the workflow.
        takes: Which values come before its own arguments: a number, that slot's value; a list, these in a list (lists
            may be nested); -1, all in the order of the slots, in a list; None, nothing.
        gathers: What it awaits is a group.
        delay: Seconds that it waits once it could run.
        patience: Seconds, counted from the same moment, after which it is not started any more.
        then: Id and name of the task that waits for its outcome, or of the first of these.
        shares: That one is given what a group came to, of which this is a task: it is a chord.
    """

    join: int
    slot: int
    awaits: int | None = None
    takes: int | list[Any] | None = None
    gathers: bool = False
    delay: float | None = None
    patience: float | None = None
    then: tuple[str, str] | None = None
    shares: bool = False


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A task to run: what ``apply_async`` sends.

    Attributes:
        id: The task id; any non-empty text of at most 200 bytes.
        task: The registered name.
        queue: The queue it is sent to.
        body: ``[args, kwargs, embed]``, encoded (and compressed) as the next three fields say. ``embed`` is
            ``{"callbacks", "errbacks", "chain", "chord"}``, as in Celery's protocol 2.
        content_type: MIME type of the body.
        content_encoding: ``utf-8`` or ``binary``.
        compression: MIME type of the compression, or None.
        priority: 0 to 9; a higher number is more urgent.
        eta: Not before this time, seconds since the epoch; None means at once.
        expires: Not started after this time, seconds since the epoch; None means never.
        retries: How often the task has been retried.
        timelimit: (hard, soft) in seconds; None where the task's own default holds.
        ignore_result: None means the task's own default.
        headers: Custom headers, as given by the sender.
        origin: Who sent it, ``gen<pid>@<host>``.
        sent_at: When it was sent, seconds since the epoch.
        workflow: The id of the workflow that it is a step of.
        node: Which step of it, by the number in the stored graph.
        place: What it is given there, and where its outcome goes.
        parked_at: When a worker first found the task name unknown, seconds since the epoch.
        seal: What proves who made it, as it lies in the broker; None in the hands of those who send and run tasks.
    """

    id: str
    task: str
    queue: str = DEFAULT_QUEUE
    body: bytes = b"[[],{},{}]"
    content_type: str = "application/json"
    content_encoding: str = "utf-8"
    compression: str | None = None
    priority: int = 0
    eta: float | None = None
    expires: float | None = None
    retries: Annotated[int, msgspec.Meta(ge=0)] = 0
    timelimit: tuple[float | None, float | None] | None = None
    ignore_result: bool | None = None
    lang: str = "py"
    shadow: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    origin: str | None = None
    replaced_task_nesting: int = 0
    stamped_headers: tuple[str, ...] | None = None
    stamps: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    correlation_id: str | None = None
    reply_to: str | None = None
    delivery_mode: int = 2
    exchange: str | None = None
    routing_key: str | None = None
    sent_at: float | None = None
    workflow: str | None = None
    node: str | None = None
    place: Place | None = None
    parked_at: float | None = None
    seal: Seal | None = None


def check(message: Message) -> Message:
    """Return the message if a broker can keep it.

    Raises:
        InvalidTaskError: The id, queue, priority, eta or expires is out of bounds.
    """
    if not message.id or len(message.id) > MAX_ID_BYTES or _size(message.id) > MAX_ID_BYTES:
        raise InvalidTaskError(
            f"task_id {message.id[:40]!r}... of task {message.task!r} must have 1 to {MAX_ID_BYTES} bytes in UTF-8"
            if message.id
            else f"task_id of task {message.task!r} must not be empty"
        )
    if not message.queue or _size(message.queue) > MAX_QUEUE_BYTES:
        raise InvalidTaskError(f"queue {message.queue[:40]!r} must have 1 to {MAX_QUEUE_BYTES} bytes in UTF-8")
    if "\0" in message.id or "\0" in message.queue:
        raise InvalidTaskError(f"task_id {message.id!r} and queue {message.queue!r} must not contain NUL characters")
    if type(message.priority) is not int or not 0 <= message.priority <= MAX_PRIORITY:
        raise InvalidTaskError(
            f"priority {message.priority!r} of task {message.task!r} must be a whole number from 0 to {MAX_PRIORITY}"
            " (higher is more urgent)"
        )
    if message.eta is not None and not isfinite(message.eta):
        raise InvalidTaskError(f"eta {message.eta!r} of task {message.task!r} must be a finite number of seconds")
    if message.expires is not None and not isfinite(message.expires):
        raise InvalidTaskError(
            f"expires {message.expires!r} of task {message.task!r} must be a finite number of seconds"
        )
    return message


def check_name(name: object) -> str:
    """Return the name of a task if a message can carry it.

    Raises:
        InvalidTaskError: It is no text, is empty, too long, holds NUL, or what UTF-8 cannot say.
    """
    if not isinstance(name, str):
        raise InvalidTaskError(f"the name of a task must be text, not {name!r:.200}")
    if not name:
        raise InvalidTaskError("the name of the task to send is empty")
    if _size(name) > MAX_NAME_BYTES or "\0" in name:
        raise InvalidTaskError(
            f"the name of task {name[:40]!r}... must have at most {MAX_NAME_BYTES} bytes in UTF-8 and no NUL character"
        )
    return name


def _size(text: str) -> int:
    """Return the length in UTF-8; too long where it cannot be encoded (half of a surrogate pair)."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return sys.maxsize


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Message)


def pack(message: Message) -> bytes:
    """Return the message as bytes, for a broker to keep.

    Raises:
        InvalidTaskError: A header or another field holds what no message can carry.
    """
    try:
        return _encoder.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise InvalidTaskError(
            f"task {message.task!r:.200} cannot be sent: a header, a stamp or another field holds what no message can"
            f" carry: {exc}"
        ) from exc


def unpack(data: bytes) -> Message:
    """Return the message that :func:`pack` made these bytes from.

    Raises:
        DecodeError: The bytes are not a message.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as exc:
        raise DecodeError(f"these {len(data)} bytes are not a task message: {exc}") from exc


class Lease(msgspec.Struct, frozen=True, gc=False):
    """The right to settle one delivery.

    Attributes:
        id: The task id.
        owner: Who holds it: one child process of one worker.
        token: The fencing token: grows with every claim of the task, so a superseded owner's is smaller.
        ref: The driver's own handle on the record (a row number, a delivery tag); nobody else reads it.
    """

    id: str
    owner: str
    token: int
    ref: int = 0


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Why a message is not run, whatever it says.

    Attributes:
        reason: Continues a sentence that names the task.
        final: It never will be. False: it could not be found out; look again later.
    """

    reason: str
    final: bool = True


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A message under lease.

    Attributes:
        message: What was sent; None if the stored bytes cannot be decoded (then ``raw`` has them).
        lease: The right to settle it.
        crashes: How many runs of it were lost to a dying process.
        suspect: It was lost at least once, so its start must be recorded before it runs.
        raw: The bytes, only where ``message`` is None.
        cancelled: It was revoked while it was owned.
        refusal: It is not what somebody with this app's keys sent; then ``message`` is as it lies in the broker.
        given: What the steps before it came to, by slot, where it is a step of a workflow that awaits some: worked out
            by whoever claimed it. If one of them failed, that one alone.
    """

    message: Message | None
    lease: Lease
    crashes: int = 0
    suspect: bool = False
    raw: bytes = b""
    cancelled: bool = False
    refusal: Refusal | None = None
    given: dict[int, StoredResult] | None = None


class StoredResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How a task ended, or how far it is: what a result store keeps for one task id.

    Attributes:
        id: The task id.
        state: A name of :mod:`celeriac.core.state`, or a custom one given to ``update_state``.
        body: The encoded return value, meta, or exception (as :func:`celeriac.core.codec.encode_exception` makes it).
        content_type, content_encoding: How ``body`` is encoded.
        traceback: Text, for exceptions.
        children: Ids of the tasks that this task sent.
        date_done: When the state was reached, seconds since the epoch.
        task, args, kwargs: The task's name and the representations of its arguments.
        worker: The node name of the worker.
        runtime: Seconds the run took, where it ran.
        log: The last lines that it logged, where it is the run of a schedule entry.
        expires: When the store may forget it, seconds since the epoch; None means never.
        reply_to: Where the message said that its result is to go; None where it is kept in a store.
        seal: As a message's.
    """

    id: str
    state: str
    body: bytes = b"null"
    content_type: str = "application/json"
    content_encoding: str = "utf-8"
    traceback: str | None = None
    children: tuple[str, ...] = ()
    date_done: float | None = None
    task: str | None = None
    args: str | None = None
    kwargs: str | None = None
    worker: str | None = None
    queue: str | None = None
    retries: int = 0
    parent_id: str | None = None
    root_id: str | None = None
    group: str | None = None
    runtime: float | None = None
    log: str | None = None
    expires: float | None = None
    reply_to: str | None = None
    seal: Seal | None = None


_result_decoder: Final = msgspec.msgpack.Decoder(StoredResult)


def pack_result(result: StoredResult) -> bytes:
    """Return the stored result as bytes, for a store to keep."""
    return _encoder.encode(result)


def unpack_result(data: bytes) -> StoredResult:
    """Return the stored result that :func:`pack_result` made these bytes from.

    Raises:
        DecodeError: The bytes are not a stored result.
    """
    try:
        return _result_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as exc:
        raise DecodeError(f"these {len(data)} bytes are not a stored result: {exc}") from exc


class Arrival(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The outcome of a step, on its way to the join that waits for it. The first in a slot counts.

    Attributes:
        workflow, join, slot: Where it goes.
        failed: The step did not return; the join is closed at once.
        result: What it came to.
        message: The step's message, if it failed itself and may be tried again by hand, or if it waited for a part of
            the workflow that its graph does not have, where something failed.
    """

    workflow: str
    join: int
    slot: int
    result: StoredResult
    failed: bool = False
    message: Message | None = None


Action: TypeAlias = Literal["done", "retry", "release", "dead"]


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the broker is told about one delivery. Everything in it happens in one atomic step, or nothing does.

    Attributes:
        lease: The right to settle; a superseded one settles nothing and is reported back.
        action: ``done``: the message is over and goes. ``retry``: it waits for ``due`` with the changed ``message``
            in its place. ``release``: it goes back to its queue, to its old place, as if never claimed; with ``due``
            it is parked until then. ``dead``: it is kept among the dead letters with ``reason``.
        message: For ``retry`` and for a parked ``release``: what replaces the stored message.
        due: Not before this time, seconds since the epoch.
        result: What to store in the result store.
        follow_ups: Messages to enqueue; one whose id exists already is dropped.
        reason: Why, for people; kept with dead letters.
        crashed: For ``release`` and ``dead``: the run was lost to a dying process and counts as such.
        state: For ``done`` without a result: the state that the task is counted under.
        arrival: What a step of a workflow came to. It takes effect where the message is over: for ``done`` and
            ``dead``, and for ``retry`` and ``release`` if a revocation overrules these.
        counted: The state that the task is counted under, whatever the rest says; None: what follows from the rest.
    """

    lease: Lease
    action: Action
    message: Message | None = None
    due: float | None = None
    result: StoredResult | None = None
    follow_ups: tuple[Message, ...] = ()
    reason: str | None = None
    crashed: bool = False
    state: str = SUCCESS
    arrival: Arrival | None = None
    counted: str | None = None


class Start(msgspec.Struct, frozen=True, gc=False):
    """One started run, told to the broker.

    Attributes:
        lease: The right to run it.
        once: The task is at-most-once: it must not run again, however this run ends.
    """

    lease: Lease
    once: bool = False
