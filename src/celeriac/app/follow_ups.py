"""Messages that follow from a finished run: callbacks, errbacks, and the same task again.

They are only made here; the worker hands them to the broker in the same atomic step that finishes the run. Their ids
are derived from the finished task's, so that a step that is done twice sends one message.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac.app import announcing, eager, joining, planting, times
from celeriac.app.canvas import Signature
from celeriac.app.fields import embed_of, message_fields
from celeriac.app.plan import sending_request
from celeriac.core.codec import encode_args
from celeriac.core.ids import follow_up_id
from celeriac.core.message import Message
from celeriac.core.retry import RetryPolicy
from celeriac.errors import Retry
from celeriac.execution.context import Request

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.app.task import Task


class AppFollowUps:
    """The follow-ups of one app.

    Args:
        app: The app.
        plant: Keeps the joins of workflows that follow, where they run here and now; None: the app's broker does.
    """

    def __init__(self, app: Celeriac, plant: joining.Plant | None = None) -> None:
        self._app = app
        self._plant = plant

    def callbacks(self, signatures: Sequence[Any], parent: Message, value: Any) -> tuple[Message, ...]:
        """Return the messages of ``link``: each gets the return value as its first argument."""
        return tuple(
            message
            for place, one in enumerate(signatures)
            for message in self._messages(Signature.from_dict(one, app=self._app), (value,), parent, f"link/{place}")
        )

    def errback(
        self, one: Mapping[str, Any], place: int, parent: Message, failure: tuple[Request, BaseException, str | None]
    ) -> tuple[Message, ...]:
        """Return the messages of one of ``link_error``.

        An errback that is registered here and takes more than one argument is called at once with (request, exception,
        traceback); any other is sent, with the id of the failed task as its argument.
        """
        signature = Signature.from_dict(one, app=self._app)
        task = self._app.tasks.get(signature.task)
        if task is not None and not signature.immutable and _takes_failure(task, signature):
            eager.call(task, (*failure, *signature.args), signature.kwargs)
            return ()
        return self._messages(signature, (parent.id,), parent, f"link_error/{place}")

    def members(self, request: Request) -> tuple[Message, tuple[Message, ...]]:
        """Keep what the members of a run arrive in; return its message, as it arrives then, and theirs."""
        return joining.admit(self._app, request, self._plant or self._app.broker.plant)

    def retry(self, request: Request, policy: RetryPolicy, retry: BaseException) -> tuple[Message, float]:
        """Return the message that tries the task again, and when it is due (seconds since the epoch)."""
        app = self._app
        message = request.message
        assert message is not None  # Only delivered runs are retried.
        now, zone = app.clock.now(), app.timezone
        when = retry.when if isinstance(retry, Retry) else None
        if isinstance(when, datetime):
            due = times.moment(when, zone, "eta")
        else:
            due = now + (policy.delay(message.retries, app.rng) if when is None else float(when))
        changes: dict[str, Any] = {}
        again = retry.sig if isinstance(retry, Retry) else None
        if isinstance(again, Signature) and again.changed:
            changes = self._changes(again, request, message, now=now)
        changes.update(id=message.id, retries=message.retries + 1, eta=due, parked_at=None)
        plan = app.publisher.plan(message.task)
        return announcing.before_follow_up(plan, msgspec.structs.replace(message, **changes)), due

    def _changes(self, again: Signature, request: Request, message: Message, *, now: float) -> dict[str, Any]:
        """Return the fields that a call of ``self.retry`` changes."""
        options = again.options
        what = f"retry of task {message.task!r}"
        changes = message_fields(options, what=what, now=now, zone=self._app.timezone)
        embed = {
            "callbacks": request.callbacks,
            "errbacks": request.errbacks,
            "chain": request.embed.get("chain"),
            "chord": request.embed.get("chord"),
        }
        embed.update({name: value for name, value in (embed_of(options) or {}).items() if value is not None})
        plan = self._app.publisher.plan(message.task)
        encoded = encode_args(
            again.args,
            again.kwargs,
            embed,
            serializer=plan.chosen_serializer(options) or message.content_type,
            compression=options.get("compression") or message.compression,
            task=message.task,
            parameter_names=plan.parameter_names,
        )
        plan.check_size(encoded.body)
        changes["body"] = encoded.body
        changes["content_type"] = encoded.content_type
        changes["content_encoding"] = encoded.content_encoding
        changes["compression"] = encoded.compression
        changes["argsrepr"], changes["kwargsrepr"] = plan.shown(again.args, again.kwargs)
        if message.place is not None:  # What it was given is among its arguments now.
            changes["place"] = msgspec.structs.replace(message.place, takes=None)
        return changes

    def _messages(
        self, signature: Signature, first: tuple[Any, ...], parent: Message, step: str
    ) -> tuple[Message, ...]:
        """Return the messages that a signature begins with; what waits for others in it is kept here and now."""
        options: dict[str, Any] = {"root_id": parent.root_id or parent.id}
        if parent.reply_to is not None:  # Whoever waits for the parent may wait for what follows.
            options["reply_to"] = parent.reply_to
        numbers = itertools.count()

        def derived() -> str:
            number = next(numbers)
            return follow_up_id(parent.id, f"{step}/{number}" if number else step)

        here = self._plant is not None
        found = planting.plan(signature, first, {}, options, eager=here, ids=derived)
        if found.workflow is not None:
            plant = self._plant or self._app.broker.plant
            for part in found.parts():
                plant(found.workflow, part)
            if not here:
                announcing.after_planting(found.joins)
        messages = tuple(msgspec.structs.replace(one, parent_id=parent.id) for one in found.first)
        request = sending_request()
        if request is not None:
            request.children += [one.id for one in messages]
        return messages


def _takes_failure(task: Task[..., Any], signature: Signature) -> bool:
    """Tell whether an errback is of the kind that takes (request, exception, traceback)."""
    try:
        parameters = inspect.signature(task.run).parameters.values()
    except (TypeError, ValueError):
        return False
    free = 0
    for one in parameters:
        if one.kind is inspect.Parameter.VAR_POSITIONAL:
            return True
        if one.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
            free += 1
    return free - len(signature.args) > 1
