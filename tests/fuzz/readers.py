"""Everything in Celeriac that reads bytes which lay in a broker or result store.

A new reader is one line in READERS: its name, good bytes to start from, the function, and the errors by which it
refuses. (There are no stored schedules yet: what reads them belongs here, too.)
"""

from __future__ import annotations

import os
import pickle
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any, Final
from uuid import UUID

import msgspec

from celeriac import Celeriac
from celeriac.app.reading import meta_of, value_of
from celeriac.brokers import rules
from celeriac.brokers.facade import SyncBroker
from celeriac.brokers.memory.driver import MemoryDriver, SharedStore
from celeriac.brokers.port import Command, CommandReply, WorkerRecord
from celeriac.cli.remote import answer_lines
from celeriac.cli.status import worker_row
from celeriac.core.clock import SYSTEM
from celeriac.core.codec import (
    accept_types,
    decode,
    decode_args,
    decode_exception,
    encode,
    encode_args,
    encode_exception,
)
from celeriac.core.codec.compression import compress
from celeriac.core.message import Delivery, Message, Settlement, StoredResult, pack, pack_result, unpack, unpack_result
from celeriac.errors import DecodeError, InvalidTaskError
from celeriac.execution.call import execute, open_call
from celeriac.execution.record import Call
from celeriac.worker.control import Control
from celeriac.worker.options import WorkerOptions
from tests.fuzz.mutations import hostile

ACCEPT: Final = ("json", "msgpack", "yaml")
"""All but pickle: who accepts that lets senders run code, and says so."""
_ACCEPTED: Final = accept_types(ACCEPT)

app: Final = Celeriac("fuzzed", broker="memory://fuzzed", backend="memory://fuzzed", set_as_current=False)
app.conf.accept_content = list(ACCEPT)


@app.task(name="take")
def take(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


@app.task(name="typed")
def typed(when: datetime, how_much: Decimal = Decimal(0), many: list[int] | None = None) -> date:
    return when.date()


@app.task(bind=True, name="again", max_retries=5, retry_backoff=True, autoretry_for=(ValueError,))
def again(self: Any, *args: Any) -> None:
    raise ValueError(repr(self.request)[:100])


class Canary:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo sings >canary",)


SINGING: Final = pickle.dumps([[Canary()], {}, None])
EMBED: Final = {
    "callbacks": [{"task": "take", "args": [1], "kwargs": {"a": 1}, "options": {"queue": "q"}, "subtask_type": None}],
    "errbacks": [{"task": "take", "args": [], "kwargs": {}, "options": {}, "immutable": True}],
    "chain": [{"task": "take", "args": [2], "kwargs": {}, "options": {"task_id": "next"}}],
    "chord": None,
}
VALUES: Final = (
    [1, "two", None, 3.5, True],
    {"a": [1], "b": {"c": None}},
    [datetime(2024, 1, 2, tzinfo=UTC), date(2024, 1, 2), timedelta(1, 2, 3), Decimal("1.5"), UUID(int=7), b"\xff"],
)
MESSAGES: Final = (
    Message(id="m1", task="take", body=encode_args([1, 2], {"a": "b"}, EMBED).body),
    Message(
        id="m2",
        task="again",
        retries=1,
        eta=1.5,
        expires=4e9,
        timelimit=(5.0, 2.0),
        priority=3,
        headers={"a": [1, {"b": 2}]},
        stamps={"s": "t"},
        stamped_headers=("s",),
        root_id="r",
        parent_id="p",
        group="g",
        group_index=1,
        argsrepr="(1, 2)",
        kwargsrepr="{}",
        origin="gen1@host",
        sent_at=1.0,
        parked_at=2.0,
        shadow="other",
        reply_to="x",
    ),
    Message(id="m3", task="typed", body=encode_args([VALUES[2][0]], {"many": [1]}).body),
    Message(id="m5", task="take", body=SINGING, content_type="application/x-python-serialize"),
    Message(id="m4", task="nobody knows", parked_at=1e9),
)
RESULTS: Final = (
    StoredResult(id="r1", state="SUCCESS", body=encode(VALUES[1]).body, task="take", date_done=1e9, runtime=0.5),
    StoredResult(
        id="r2",
        state="FAILURE",
        body=encode(encode_exception(ValueError("no", 1))).body,
        traceback="Traceback ...",
        children=("c1", "c2"),
        worker="w@h",
        queue="celery",
        expires=4e9,
    ),
    StoredResult(id="r3", state="PROGRESS", body=encode({"done": 5}).body, retries=2),
)
COMMANDS: Final = (
    Command(id="c1", name="revoke", arguments={"ids": ["a"], "terminate": True, "signal": "KILL"}),
    Command(id="c2", name="pool_grow", arguments={"n": 2}, destination=("w@h",)),
    Command(id="c3", name="inspect.conf", arguments={"with_defaults": True}),
    Command(id="c4", name="ping"),
)
REPLIES: Final = (
    CommandReply("c1", "w@h", {"ok": "pong"}),
    CommandReply("c1", "w@h", [{"id": "a", "args": "(1,)", "time_start": 1.5}]),
    CommandReply("c1", "w@h", {"total": {"runs": 5}, "queues": ["q"]}),
)
WORKERS: Final = (
    WorkerRecord(
        name="w@h",
        owners=("w@h#1/0",),
        info={"pid": 7, "pool": "prefork", "queues": ["celery"], "children": [8], "running": 1, "uptime": 5.5},
    ),
)


# Deeper than decoding: what is done with what was read.

LONGEST: Final = 30 * 86400.0
"""Seconds that a retry, or the parking of an unknown task, may take."""
_ID: Final = re.compile(rb"\xa2id\xa2(m[0-9])")
_surroundings: Final = app.worker_surroundings("w@h")


def run_delivery(data: bytes) -> None:
    """Take stored bytes all the way through a run to a settlement that a store carries out."""
    found = _ID.search(data)
    id = found[1].decode() if found else "m1"
    broker: SyncBroker[Any, Any] = SyncBroker(MemoryDriver(SharedStore(SYSTEM)))
    broker.enqueue([Message(id=id, task="t")])
    (claimed,) = broker.claim(["celery"], 1, "w", 30.0)
    settlement = settled(rules.delivery(data, claimed.lease))
    if settlement.due is not None and not 0 < settlement.due < time.time() + LONGEST:
        raise Wrong(f"it waits until {settlement.due}")
    for message in (settlement.message, *settlement.follow_ups):
        if message is not None and unpack(pack(message)) is None:
            raise Wrong("what it leaves cannot be read")
    if settlement.result is not None and unpack_result(pack_result(settlement.result)).id != id:
        raise Wrong("its outcome is stored under another id")
    try:
        lost = broker.settle([settlement])
    except InvalidTaskError:
        return  # The worker then makes a dead letter of it, for which nothing of the message is needed.
    if lost:
        raise Wrong("it was not settled")


def settled(delivery: Delivery) -> Settlement:
    """Run a delivery and return its settlement."""
    found = open_call(delivery, _surroundings)
    if isinstance(found, Call):
        assert len(found.time_limits) == 2
        return execute(found, _surroundings)
    return found


def read_result(data: bytes) -> None:
    """Read a result as AsyncResult does."""
    stored = unpack_result(data)
    value_of(stored, app)
    meta_of(stored, app)


def read_exception(data: bytes) -> None:
    """Read a stored exception, and look at it as a log does."""
    found = decode_exception(decode(data, "application/json", accept=_ACCEPTED))
    assert isinstance(found, Exception)
    assert isinstance(repr(found) + str(found), str)


class Wrong(BaseException):
    """Something was done that must not be done. No ``except Exception`` on the way stops it."""


class Deaf:
    """Takes a worker's orders and carries none out."""

    def request_shutdown(self, reason: str) -> None:
        """Nothing."""

    def request_revoke(self, ids: Sequence[str], terminate: bool, signal_name: str | None) -> None:
        if not all(isinstance(one, str) for one in ids):
            raise Wrong(f"revoking {ids!r:.80}")

    def request_resize(self, change: int) -> None:
        if not 1 <= abs(change) <= 100:
            raise Wrong(f"one command changes the worker by {change} processes")

    def pids(self) -> list[int]:
        return []


_control: Final = Control(
    app=app,
    options=WorkerOptions(target="fuzzed", node="w@h", queues=("celery",)),
    handlers=Deaf(),
    children=dict,
)


def obey(data: bytes) -> None:
    """Read a command and answer it, as a worker does; the answer can be kept."""
    command = rules.opened_command(data, 1)
    if command is not None:
        answer = CommandReply(command.id, "w@h", _control.answer(command))
        assert len(msgspec.msgpack.encode(answer)) < 100_000


def hear(data: bytes) -> None:
    """Read an answer and show it, as the command line does."""
    reply = rules.opened_reply(data)
    if reply is not None:
        answer_lines(reply.node, reply.value)


def meet(data: bytes) -> None:
    """Read a worker's record and look at it, as ``celeriac status`` and the doctor do."""
    worker = rules.opened_worker(data, 1.0)
    if worker is not None:
        worker_row(worker)
        rules.queues_of(worker)


def body_reader(content_type: str, encoding: str, compression: str | None = None) -> Callable[[bytes], object]:
    """Return what reads the body of a task."""
    return lambda data: decode_args(data, content_type, encoding, compression=compression, accept=_ACCEPTED)


def bodies(serializer: str, compression: str | None = None) -> tuple[bytes, ...]:
    """Return good bodies."""
    return tuple(
        encode_args([value], {"k": value}, EMBED, serializer=serializer, compression=compression).body
        for value in VALUES
    )


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        name: For ids of tests.
        good: Bytes that it reads.
        read: The reader.
        refuses: By which errors it says that it does not read something.
        wrap: What the sender does last: hostile bytes are wrapped, too, to get past what unwraps them.
    """

    name: str
    good: tuple[bytes, ...]
    read: Callable[[bytes], object]
    refuses: tuple[type[Exception], ...] = ()
    wrap: Callable[[bytes], bytes] | None = None

    def hostile(self, rng: Random) -> bytes:
        """Return bytes that are meant to break the reader."""
        if self.wrap is not None and rng.random() < 0.5:
            return self.wrap(hostile(rng, rng.choice(_PLAIN_BODIES)))
        return hostile(rng, rng.choice(self.good))

    def __str__(self) -> str:
        return self.name


_PLAIN_BODIES: Final = bodies("json")
_encode: Final = msgspec.msgpack.encode
GZIP, BZIP2, LZMA, ZSTD = "application/x-gzip", "application/x-bz2", "application/x-lzma", "application/zstd"

READERS: Final = (
    Reader("message", tuple(map(pack, MESSAGES)), unpack, (DecodeError,)),
    Reader("delivery", tuple(map(pack, MESSAGES)), run_delivery),
    Reader("result", tuple(map(pack_result, RESULTS)), read_result, (DecodeError,)),
    Reader("exception", tuple(encode(encode_exception(e)).body for e in (ValueError(1), OSError(2, "x", "f"))),
           read_exception, (DecodeError,)),
    Reader("command", tuple(map(_encode, COMMANDS)), obey),
    Reader("reply", tuple(map(_encode, REPLIES)), hear),
    Reader("worker", tuple(map(_encode, WORKERS)), meet),
    Reader("json body", bodies("json"), body_reader("application/json", "utf-8"), (DecodeError,)),
    Reader("msgpack body", bodies("msgpack"), body_reader("application/x-msgpack", "binary"), (DecodeError,)),
    Reader("yaml body", bodies("yaml"), body_reader("application/x-yaml", "utf-8"), (DecodeError,)),
    Reader("pickle body", (*bodies("pickle"), SINGING), body_reader("application/x-python-serialize", "binary"),
           (DecodeError,)),
    *(
        Reader(f"{name} body", bodies("json", name), body_reader("application/json", "utf-8", compression),
               (DecodeError,), partial(compress, mime_type=compression))
        for name, compression in {"gzip": GZIP, "bzip2": BZIP2, "lzma": LZMA, "zstd": ZSTD}.items()
    ),
)  # fmt: skip
