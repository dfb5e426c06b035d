"""What follows a failure: the errbacks of a task, each on its own, so that one that raises takes no other with it."""

from __future__ import annotations

import traceback as tracebacks

from celeriac.core.message import Message
from celeriac.events import HookFailed
from celeriac.execution.record import Call
from celeriac.execution.runnable import Surroundings


def errbacks(call: Call, surroundings: Surroundings, exc: BaseException, traceback: str | None) -> tuple[Message, ...]:
    """Call the errbacks of a task that has failed which are called here, and return the messages of the others.

    Args:
        call: The task.
        surroundings: What all runs of the process share.
        exc: Why it failed.
        traceback: Where, as text.
    """
    messages: tuple[Message, ...] = ()
    for place, one in enumerate((call.request.embed or {}).get("errbacks") or ()):
        try:
            messages += surroundings.follow_ups.errback(one, place, call.message, (call.request, exc, traceback))
        except BaseException:  # As for hooks.
            report(call, surroundings, "link_error")
    return messages


def report(call: Call, surroundings: Surroundings, hook: str) -> None:
    """Tell that a hook or an errback has raised, from where that was caught."""
    surroundings.bus.emit(HookFailed(call.message.id, call.message.task, hook, tracebacks.format_exc()))
