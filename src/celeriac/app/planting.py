"""From a workflow's signature to what is stored and sent: its steps as messages, its order as joins.

A canvas without any order (a group of tasks) is sent as the messages it consists of. Everything else is planted first
and then begun, so that a sender that dies in between has begun nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from celeriac.app import announcing, eager_workflow, loops, times
from celeriac.app.canvas import Signature
from celeriac.app.eager import PLACEMENT
from celeriac.app.group_result import GroupResult
from celeriac.app.plan import sending_request
from celeriac.app.result import AsyncResult
from celeriac.core.ids import new_id
from celeriac.core.message import Message, Place
from celeriac.core.workflow import (
    ROOT,
    Chain,
    Form,
    Graph,
    Group,
    Join,
    Layout,
    Node,
    Step,
    Workflow,
    drawn,
    lay_out,
    pack_graph,
)
from celeriac.errors import InvalidTaskError

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac

PART: Final = 400
"""Most joins and messages that are planted in one step."""
_FIRST: Final = frozenset({"countdown", "eta"})
_LAST: Final = frozenset({"task_id", "link"})
_OF_GROUP: Final = frozenset({"task_id", "link"})


class Planting(msgspec.Struct, frozen=True):
    """What is stored and sent of one workflow.

    Attributes:
        first: The messages of the steps that wait for nothing.
        workflow: What is stored; None where no step waits for another.
        joins: Those with successors.
        result: What the caller gets.
    """

    first: list[Message]
    workflow: Workflow | None
    joins: list[Join]
    result: AsyncResult[Any] | GroupResult

    def parts(self) -> Iterator[list[Join]]:
        """Yield the joins in parts that one step can plant."""
        part: list[Join] = []
        size = 0
        for join in self.joins:
            for start in range(0, max(1, len(join.messages)), PART):
                messages = join.messages[start : start + PART]
                if part and size + 1 + len(messages) > PART:
                    yield part
                    part, size = [], 0
                part.append(Join(number=join.number, size=join.size, messages=messages, first=start))
                size += 1 + len(messages)
        yield part


def send(signature: Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: dict[str, Any]) -> Any:
    """Send a workflow and return the result of its last step.

    Raises:
        TypeError, InvalidTaskError, OperationalError: As ``Task.apply_async``.
        StoreNeeded: Its steps wait for each other, and the broker has no store for that.
    """
    app = signature.app
    if app.publisher.rules.eager:
        return run_here(signature, args, kwargs, options)
    planted = plan(signature, args, kwargs, options)
    app.publisher.plant(planted, options)
    return planted.result


async def asend(signature: Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: dict[str, Any]) -> Any:
    """Send a workflow; the awaitable twin of :func:`send`."""
    app = signature.app
    if app.publisher.rules.eager:
        return await loops.in_thread(run_here, signature, args, kwargs, options)
    planted = plan(signature, args, kwargs, options)
    await app.publisher.aplant(planted, options)
    return planted.result


def run_here(signature: Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: dict[str, Any]) -> Any:
    """Run a workflow in this process and return its result."""
    throw = options.pop("throw", None)
    return eager_workflow.run(plan(signature, args, kwargs, options, eager=True), throw=throw)


def plan(
    signature: Signature,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    eager: bool = False,
    ids: Callable[[], str] = new_id,
) -> Planting:
    """Return what is to be stored and sent of a workflow.

    Args:
        signature: The workflow.
        args: Positional arguments for the steps that it begins with.
        kwargs: Keyword arguments for them.
        options: Options of ``apply_async``.
        eager: It runs here: options that say when and where have no meaning.
        ids: Makes the ids of its tasks, in their order, where they have none.
    """
    planner = _Planner(signature.app, eager=eager, ids=ids)
    form, result = planner.add(signature, (args, kwargs, dict(options)), None)
    return planner.planting(form, result)


def freeze(signature: Signature, id: str | None, root_id: str | None) -> Any:
    """Settle the ids of all tasks of a workflow; return the result that it will have."""
    whole = cast("Any", signature)
    if signature.subtask_type == "group":
        results = [one.freeze(root_id=root_id) for one in whole.parts]
        signature.options["task_id"] = str(id or signature.options.get("task_id") or new_id())
        return GroupResult(signature.options["task_id"], results, app=signature.app)
    result: Any = None
    parts: list[Signature] = [one for one in whole.parts if one is not None]
    for place, one in enumerate(parts):
        before, result = result, one.freeze(id if place == len(parts) - 1 else None, root_id=root_id)
        earliest = result
        while earliest.parent is not None:
            earliest = earliest.parent
        earliest.parent = before
    return result


def with_one_end(signature: Any, app: Celeriac) -> Any:
    """Return a signature whose value one task comes to: a group with a task behind it that hands the list on."""
    return signature | app.signature("celery.accumulate") if _ends_in_group(signature) else signature


def _ends_in_group(signature: Any) -> bool:
    kind = getattr(signature, "subtask_type", None)
    if kind == "chain":
        return bool(signature.tasks) and _ends_in_group(signature.tasks[-1])
    if kind == "chord":
        return _ends_in_group(signature.body)
    return kind in ("group", "chunks")


_Call = tuple[tuple[Any, ...], Mapping[str, Any], dict[str, Any]]


class _Leaf(msgspec.Struct):
    signature: Signature
    id: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]


class _Planner:
    def __init__(self, app: Celeriac, *, eager: bool, ids: Callable[[], str]) -> None:
        self._app = app
        self._eager = eager
        self._ids = ids
        self._leaves: list[_Leaf] = []
        self._awaited: dict[int, tuple[tuple[str, str], bool]] = {}
        """For each join, the first step that waits for it, and whether that is given what a group came to."""

    def add(self, signature: Signature, call: _Call, parent: Any, member: Mapping[str, Any] | None = None) -> Any:
        """Take in a signature; return its form and its result.

        Args:
            signature: A task or a workflow.
            call: Arguments and options that are given in addition.
            parent: The result of what comes before it.
            member: The group that it is a task of, as options.
        """
        kind = signature.subtask_type
        if kind == "chain":
            return self._chain(signature, call, parent, member)
        if kind == "group":
            return self._group(signature, call, parent)
        if kind == "chord":
            return self._chord(signature, call, parent, member)
        if kind == "chunks":
            return self._group(cast("Any", signature).group(), call, parent)
        return self._step(signature, call, parent, member)

    def _step(self, signature: Signature, call: _Call, parent: Any, member: Mapping[str, Any] | None) -> Any:
        args, kwargs, options = call
        own_args, own_kwargs, _ = signature.merge(args, kwargs, {})
        merged = {**options, **signature.options, **(member or {})}
        if options.get("link") and signature.options.get("link"):
            merged["link"] = [*_listed(options["link"]), *_listed(signature.options["link"])]
        if options.get("link_error") and signature.options.get("link_error"):
            merged["link_error"] = [*_listed(signature.options["link_error"]), *_listed(options["link_error"])]
        task_id = str(options.get("task_id") or merged.get("task_id") or self._ids())
        merged["task_id"] = task_id
        number = len(self._leaves)
        self._leaves.append(_Leaf(signature, task_id, own_args, own_kwargs, merged))
        return Step(number), AsyncResult(task_id, None, signature.task, self._app, parent)

    def _chain(self, signature: Signature, call: _Call, parent: Any, member: Mapping[str, Any] | None) -> Any:
        args, kwargs, options = _merged(signature, call)
        parts: list[Signature] = cast("Any", signature).parts
        if not parts:
            raise InvalidTaskError("an empty chain cannot be sent: it has no task whose value it could have")
        forms: list[Form] = []
        result: Any = parent
        for place, one in enumerate(parts):
            chosen = _chosen(options, first=place == 0, last=place == len(parts) - 1)
            given: _Call = (args, kwargs, chosen) if place == 0 else ((), {}, chosen)
            form, result = self.add(one, given, result, member if place == len(parts) - 1 else None)
            forms.append(form)
        return Chain(forms), result

    def _group(self, signature: Signature, call: _Call, parent: Any) -> Any:
        args, kwargs, options = _merged(signature, call)
        group_id = str(options.get("task_id") or options.get("group_id") or new_id())
        shared = {name: value for name, value in options.items() if name not in _OF_GROUP and name != "group_id"}
        forms: list[Form] = []
        results: list[Any] = []
        for place, one in enumerate(cast("list[Signature]", cast("Any", signature).parts)):
            chosen = {**shared, "link": options["link"]} if place == 0 and options.get("link") else shared
            member = {"group_id": group_id, "group_index": place}
            form, result = self.add(one, (args, kwargs, chosen), parent, member)
            forms.append(form)
            results.append(result)
        return Group(forms), GroupResult(group_id, results, parent, app=self._app)

    def _chord(self, signature: Signature, call: _Call, parent: Any, member: Mapping[str, Any] | None) -> Any:
        args, kwargs, options = _merged(signature, call)
        whole = cast("Any", signature)
        if whole.body is None:
            raise InvalidTaskError(f"{signature!r} has no body: give it one, as in chord(header)(body)")
        header_form, header = self.add(whole.header, (args, kwargs, _chosen(options, first=True, last=False)), parent)
        body_form, result = self.add(whole.body, ((), {}, _chosen(options, first=False, last=True)), header, member)
        return Chain([header_form, body_form]), result

    # From steps to messages.

    def planting(self, form: Form, result: Any) -> Planting:
        layout = lay_out(form, len(self._leaves))
        if not layout.has_order:
            messages = [
                self._message(leaf, _with_constant(leaf, place))
                for leaf, place in zip(self._leaves, layout.places, strict=True)
            ]
            return Planting(messages, None, [], result)
        workflow_id = new_id()
        self._name_parents(layout)
        for leaf, place in zip(self._leaves, layout.places, strict=True):
            if place.awaits is not None:
                self._awaited.setdefault(place.awaits, ((leaf.id, leaf.signature.task), place.gathers))
        first: list[Message] = []
        waiting: defaultdict[int, list[Message]] = defaultdict(list)
        for number, leaf in enumerate(self._leaves):
            place = layout.places[number]
            message = self._placed(leaf, place, workflow_id, number)
            if place.awaits is None:
                first.append(message)
            else:
                waiting[place.awaits].append(message)
        joins = [
            Join(number=number, size=size, messages=tuple(waiting[number]))
            for number, size in enumerate(layout.sizes)
            if number != ROOT
        ]
        nodes = [
            Node(leaf.id, leaf.signature.task, place.join, place.slot, place.awaits)
            for leaf, place in zip(self._leaves, layout.places, strict=True)
        ]
        workflow = Workflow(
            id=workflow_id,
            size=layout.sizes[ROOT],
            record=pack_graph(Graph(nodes, drawn(form))),
            keep=self._app.conf.result_expires or None,
        )
        return Planting(first, workflow, joins, result)

    def _name_parents(self, layout: Layout) -> None:
        """Say of each step where it comes from, as tasks that send others do."""
        request = sending_request()
        root = self._leaves[0].id if request is None else request.root_id or request.id
        for leaf, before in zip(self._leaves, layout.before, strict=True):
            leaf.options.setdefault("root_id", root)
            if before is not None:
                leaf.options.setdefault("parent_id", self._leaves[before].id)

    def _placed(self, leaf: _Leaf, place: Place, workflow: str, number: int) -> Message:
        args = _with_constant(leaf, place)
        given: tuple[Any, ...] = ()
        delay = patience = None
        if leaf.signature.immutable or place.awaits is None:
            place = msgspec.structs.replace(place, takes=None)
        elif place.takes is not None:
            given = (None,)
        if place.awaits is not None:
            delay, patience = self._relative(leaf)
        then, shares = self._awaited.get(place.join, (None, False))
        place = msgspec.structs.replace(place, delay=delay, patience=patience, then=then, shares=shares)
        message = self._message(leaf, args, given)
        return msgspec.structs.replace(message, workflow=workflow, node=str(number), place=place)

    def _relative(self, leaf: _Leaf) -> tuple[float | None, float | None]:
        """Return delay and patience of a step that waits for others: its countdown begins when they are done."""
        options = leaf.options
        delay = patience = None
        if options.get("countdown") is not None:
            delay = max(0.0, times.seconds(options.pop("countdown"), "countdown"))
        task = leaf.signature.known
        expires = options.get("expires", None if task is None else task.expires)
        if expires is not None and times.is_duration(expires):
            patience = times.seconds(expires, "expires")
            options["expires"] = None
        return delay, patience

    def _message(self, leaf: _Leaf, args: tuple[Any, ...], given: tuple[Any, ...] = ()) -> Message:
        options = leaf.options
        if self._eager:
            options = {name: value for name, value in options.items() if name not in PLACEMENT}
        known = leaf.signature.known
        plan = self._app.publisher.plan(known if known is not None else leaf.signature.task)
        message = plan.message(args, leaf.kwargs, options, given)
        return message if self._eager else announcing.before_follow_up(plan, message, options)


def _with_constant(leaf: _Leaf, place: Place) -> tuple[Any, ...]:
    """Return the arguments of a step; one that follows empty groups alone gets their value, for which nobody waits."""
    if place.takes is None or place.awaits is not None or leaf.signature.immutable:
        return leaf.args
    return (place.takes, *leaf.args)


def _merged(signature: Signature, call: _Call) -> _Call:
    args, kwargs, options = call
    own: dict[str, Any] = cast("Any", signature).extra_kwargs
    merged = {**options, **signature.options, **{name: options[name] for name in ("task_id",) if name in options}}
    if signature.immutable:
        return signature.args, own, merged
    return (*args, *signature.args), {**own, **kwargs}, merged


def _chosen(options: Mapping[str, Any], *, first: bool, last: bool) -> dict[str, Any]:
    """Return the options of a chain that are for one step of it."""
    return {
        name: value for name, value in options.items() if (first or name not in _FIRST) and (last or name not in _LAST)
    }


def _listed(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else (value,)
