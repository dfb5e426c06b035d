"""Workflows: from the shape of a canvas to steps and joins, and what a join does when something arrives. Pure.

A workflow is stored as *joins*. A join has slots, one for each step whose outcome it waits for, and the messages that
become ready when all slots are filled. A step that has a successor arrives in the successor's join; the last steps
arrive in join 0, the *root*, so that it is known when the workflow is over. A chain's step is a join with one slot, a
chord's body one with a slot for each task of the header. A group in a group needs no join of its own: its tasks have
slots in the same join, and the successor nests their values again when it reads them. So a workflow of n steps has at
most n joins, n stored messages and n slots, whatever its form.

The first outcome in a slot counts; what arrives a second time changes nothing. A failure closes the join at once: the
steps behind it are made ready, find the failure in place of the values, and hand it on without running.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from celeriac.core.message import Message, Place, StoredResult
from celeriac.errors import DecodeError

_T = TypeVar("_T")

ROOT: Final = 0
"""The number of the join in which the last steps arrive."""
PARTS: Final = 1_000_000
"""From this number on joins are those of parts that steps have added while they ran, which the graph does not have.
A workflow that is planted whole has fewer."""
ALL: Final = -1
"""In :attr:`Place.takes`: the values of all slots, in a list."""
LAST: Final = 2**31 - 1
"""Greater than the number of any slot."""
MEMBERS: Final = "celeriac.members"
"""The task whose value, in a slot, is a list: the value that belongs there, and those of members that were added."""


class Step(msgspec.Struct, frozen=True, gc=False):
    """A task, by its number among the workflow's steps."""

    number: int


class Chain(msgspec.Struct, frozen=True):
    """Parts that run one after the other; each is given what the one before came to."""

    parts: Sequence[Form]


class Group(msgspec.Struct, frozen=True):
    """Parts that run side by side; together they come to the list of what each came to."""

    parts: Sequence[Form]


Form: TypeAlias = Step | Chain | Group
Ends: TypeAlias = "int | list[Ends]"
"""The steps whose outcomes make up the value of a form, by their numbers, nested as the value is."""


class Layout(msgspec.Struct):
    """A workflow's steps in their joins.

    Attributes:
        places: Where each step stands.
        sizes: How many slots each join has.
        before: For each step, the step whose value it is given, where it is one.
    """

    places: list[Place]
    sizes: list[int]
    before: list[int | None]

    @property
    def has_order(self) -> bool:
        """Whether any step waits for another."""
        return len(self.sizes) > 1


def lay_out(form: Form, count: int) -> Layout:
    """Return where the steps of a form stand.

    Args:
        form: What runs before what.
        count: How many steps it has; each number below occurs once in it.
    """
    layout = _Layout(count)
    ends = layout.add(form, (None, None))
    layout.close([ends, list(layout.idle)], ROOT)
    places = [
        Place(join, slot, awaits, takes, gathers=awaits is not None and (takes == ALL or isinstance(takes, list)))
        for (join, slot), (awaits, takes) in zip(layout.targets, layout.sources, strict=True)
    ]
    return Layout(places, layout.sizes, layout.before)


_Source: TypeAlias = "tuple[int | None, Any]"


class _Layout:
    def __init__(self, count: int) -> None:
        self.targets: list[tuple[int, int]] = [(ROOT, 0)] * count
        self.sources: list[_Source] = [(None, None)] * count
        self.before: list[int | None] = [None] * count
        self.sizes = [0]
        self.idle: list[int] = []
        """Steps whose values nobody takes, since only empty groups follow them: they arrive in the root."""
        self._single: dict[int, int] = {}
        """Joins of one slot, and the step that fills it."""

    def add(self, form: Form, source: _Source) -> Ends:
        """Place the steps of a form that is given the values of this source; return what makes up its value."""
        if isinstance(form, Step):
            self.sources[form.number] = source
            if source[0] is not None:
                self.before[form.number] = self._single.get(source[0])
            return form.number
        if isinstance(form, Group):
            return [self.add(part, source) for part in form.parts]
        ends: Ends = []
        for place, part in enumerate(form.parts):
            if place:
                source = self._after(ends, source)
            before, ends = ends, self.add(part, source)
            if place == len(form.parts) - 1 and not _has_steps(part):
                self._leave(before)
        return ends

    def _leave(self, ends: Ends) -> None:
        for step in _steps(ends):
            self.sizes[self.targets[step][0]] -= 1
            self.idle.append(step)

    def _after(self, ends: Ends, source: _Source) -> _Source:
        """Return the source of what follows steps."""
        if not _any(ends):  # Empty groups: what follows has only itself to wait for.
            return source[0], ends
        number = len(self.sizes)
        self.sizes.append(0)
        return number, self.close(ends, number)

    def close(self, ends: Ends, join: int) -> Any:
        """Let these steps arrive in a join; return what the successor takes from it."""
        for slot, step in enumerate(_steps(ends)):
            self.targets[step] = (join, slot)
            self.sizes[join] += 1
        if isinstance(ends, int):
            self._single[join] = ends
            return 0
        if ends and all(isinstance(one, int) for one in ends):
            return ALL
        return _numbered(ends, iter(range(self.sizes[join])))


def _steps(ends: Ends) -> Iterator[int]:
    if isinstance(ends, int):
        yield ends
    else:
        for one in ends:
            yield from _steps(one)


def _has_steps(form: Form) -> bool:
    return isinstance(form, Step) or any(_has_steps(part) for part in form.parts)


def _any(ends: Ends) -> bool:
    return any(True for _ in _steps(ends))


def _numbered(ends: Ends, slots: Iterator[int]) -> Any:
    return next(slots) if isinstance(ends, int) else [_numbered(one, slots) for one in ends]


def taken(takes: int | list[Any], values: dict[int, Any], grown: Set[int] = frozenset()) -> Any:
    """Return what a step is given, of the values in the slots of the join it waited for.

    Args:
        takes: As in :attr:`Place.takes`.
        values: By slot.
        grown: Slots whose value is followed by those of members that were added; they come behind those of the list.
    """
    if not isinstance(takes, list):
        if takes != ALL:
            return values[takes]
        takes = sorted(values)
        if not grown:
            return [values[slot] for slot in takes]
    own: list[Any] = []
    added: list[Any] = []
    for one in takes:
        value = taken(one, values, grown)
        if isinstance(one, int) and one in grown:
            value, *more = value
            added += more
        own.append(value)
    return own + added


class Tally(msgspec.Struct, frozen=True, gc=False):
    """How far a join is.

    Attributes:
        remaining: Slots that are empty.
        failed: The first slot in which a failure arrived.
        closed: What waited for it has been made ready; or, for the root, the workflow is over.
    """

    remaining: int
    failed: int | None = None
    closed: bool = False


def arrive(tally: Tally, slot: int, *, failed: bool, root: bool) -> tuple[Tally, bool]:
    """Return how far a join is once something has arrived in a slot that was empty, and whether that closes it.

    The root is closed by the last arrival, whatever has failed before.
    """
    remaining = tally.remaining - 1
    first = slot if failed and tally.failed is None else tally.failed
    closes = not tally.closed and (remaining <= 0 or (first is not None and not root))
    return Tally(remaining, first, tally.closed or closes), closes


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored once of a workflow.

    Attributes:
        id: Its id.
        size: Slots of the root.
        record: A packed :class:`Graph`.
        keep: Seconds for which it is kept once it is over; None keeps it.
    """

    id: str
    size: int
    record: bytes
    keep: float | None = None


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """A join with what waits for it. One with many messages may be stored in several parts.

    Attributes:
        number: From 1.
        size: How many slots it has.
        messages: What becomes ready when it is closed.
        first: The place of the first of these among all that wait for it.
    """

    number: int
    size: int
    messages: tuple[Message, ...] = ()
    first: int = 0


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """What lies in a slot."""

    slot: int
    failed: bool
    result: StoredResult
    message: Message | None = None


class Harvest(msgspec.Struct, frozen=True):
    """What lies in a join.

    Attributes:
        size: How many slots it has; -1 if there is no such join.
        failed: The first slot in which a failure arrived.
        arrived: A page of what lies in its slots, in their order.
    """

    size: int
    failed: int | None
    arrived: list[Arrived]


class WorkflowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow as the store sees it.

    Attributes:
        created, ended: Seconds since the epoch.
        remaining: How many of the last steps have not arrived.
        failed: One of the last steps failed, or was not reached.
        cursor: Where to go on after it.
    """

    id: str
    created: float
    size: int
    remaining: int
    failed: bool
    record: bytes
    ended: float | None = None
    cursor: float = 0.0


class Node(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One step in the stored graph."""

    id: str
    task: str
    join: int
    slot: int
    awaits: int | None = None


class Graph(msgspec.Struct, frozen=True):
    """The stored graph: the steps, and their order as nested lists: a number is a step, ``["chain", ...]`` and
    ``["group", ...]`` hold others."""

    nodes: list[Node]
    form: Any


class Part(msgspec.Struct, frozen=True):
    """A part that a step has added to a workflow while it ran; the workflow's graph does not have it.

    Attributes:
        step: The id of that step. One of the part's steps has the same id if the part took the place of the step.
        place: Join and slot in which the step would have arrived, and the last step of the part does.
        graph: The part's steps, where they are in the workflow's joins.
    """

    step: str
    place: tuple[int, int]
    graph: Graph

    @property
    def replaces(self) -> bool:
        """Whether it took the place of the step; else it was added beside it."""
        return any(node.id == self.step for node in self.graph.nodes)


def drawn(form: Form) -> Any:
    """Return a form as :attr:`Graph.form` has it."""
    if isinstance(form, Step):
        return form.number
    return ["chain" if isinstance(form, Chain) else "group", *[drawn(part) for part in form.parts]]


def shifted(form: Any, by: int) -> Any:
    """Return what :attr:`Graph.form` is once so many other steps stand before its own."""
    return form + by if isinstance(form, int) else [form[0], *[shifted(one, by) for one in form[1:]]]


_graph: Final = msgspec.msgpack.Decoder(Graph)
_part: Final = msgspec.msgpack.Decoder(Part)


def pack_graph(graph: Graph) -> bytes:
    """Return a graph as bytes, for a store to keep."""
    return msgspec.msgpack.encode(graph)


def unpack_graph(data: bytes) -> Graph:
    """Return the graph that :func:`pack_graph` made these bytes from.

    Raises:
        DecodeError: The bytes are no graph.
    """
    return _unpacked(_graph, data, "the graph of a workflow")


def pack_part(part: Part) -> bytes:
    """Return a part as bytes, for a store to keep."""
    return msgspec.msgpack.encode(part)


def unpack_part(data: bytes) -> Part:
    """Return the part that :func:`pack_part` made these bytes from.

    Raises:
        DecodeError: The bytes are no part.
    """
    return _unpacked(_part, data, "a part of a workflow")


def _unpacked(decoder: msgspec.msgpack.Decoder[_T], data: bytes, what: str) -> _T:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as exc:
        raise DecodeError(f"these {len(data)} bytes are not {what}: {exc}") from exc
