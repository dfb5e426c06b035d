"""What task code sees as ``self.request``, and which run is the current one.

The current run is a context variable: it is right in threads and in coroutines alike.
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from celeriac.core.message import Delivery, Message
from celeriac.errors import Retry

if TYPE_CHECKING:
    from collections import deque


def iso(moment: float | None) -> str | None:
    """Return seconds since the epoch as ISO 8601 text in UTC; a number that no calendar has as it is."""
    try:
        return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return str(moment)


class Request:
    """The run of a task, with the fields of Celery's request.

    Beside Celery's: ``attempt`` (1 for the first delivery of the first try), ``fencing_token`` (grows with every claim
    of this task; pass it to other systems so that they can refuse a superseded run) and ``message``.
    Times are ISO 8601 text, as Celery's are; ``timelimit`` is (hard, soft) in seconds. Fields that few tasks read are
    taken from the message when they are first read.
    """

    called_directly: bool = True
    is_eager: bool = False
    id: str | None = None
    task: str | None = None
    args: Any = None
    kwargs: Any = None
    hostname: str | None = None
    message: Message | None = None
    delivery: Delivery | None = None
    attempt: int = 0
    fencing_token: int = 0
    retries: int = 0
    root_id: str | None = None
    parent_id: str | None = None
    ignore_result: bool = False
    utc: bool = True
    pending_retry: Retry | None = None
    """A retry asked for with ``throw=False``; carried out when the run ends."""
    lines: deque[str] | None = None
    """The last lines that the run has logged, where it is that of a schedule entry."""
    following: tuple[Message, ...] = ()
    """What is sent in the same step that finishes the task, whatever comes of it: ``self.reschedule()``."""

    members: list[Any]
    """Signatures that it adds to the chord it belongs to."""
    plant: Any = None
    """What keeps the joins that these need, where it is not the app's broker."""
    replacement: Any = None
    """What takes the task's place, once it has asked for that."""

    def __init__(self, **fields: Any) -> None:
        """Create the request of a direct call, with any of the fields."""
        self.children: list[str] = []
        self.members = []
        self.embed: dict[str, Any] = {}
        self.__dict__.update(fields)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a field, as the mapping-like request of Celery does."""
        return getattr(self, key, default)

    @property
    def execution_options(self) -> dict[str, Any]:
        """Options that send the same task again."""
        return {
            "task_id": self.id,
            "root_id": self.root_id,
            "parent_id": self.parent_id,
            "group_id": self.group,
            "shadow": self.shadow,
            "headers": self.headers,
            "ignore_result": self.ignore_result,
        }

    def as_execution_options(self) -> dict[str, Any]:
        """Return :attr:`execution_options`."""
        return self.execution_options

    @cached_property
    def group(self) -> str | None:
        return None if self.message is None else self.message.group

    @cached_property
    def group_index(self) -> int | None:
        return None if self.message is None else self.message.group_index

    @cached_property
    def eta(self) -> str | None:
        return None if self.message is None else iso(self.message.eta)

    @cached_property
    def expires(self) -> str | None:
        return None if self.message is None else iso(self.message.expires)

    @cached_property
    def correlation_id(self) -> str | None:
        return None if self.message is None else (self.message.correlation_id or self.message.id)

    @cached_property
    def reply_to(self) -> str | None:
        return None if self.message is None else self.message.reply_to

    @cached_property
    def origin(self) -> str | None:
        return None if self.message is None else self.message.origin

    @cached_property
    def shadow(self) -> str | None:
        return None if self.message is None else self.message.shadow

    @cached_property
    def replaced_task_nesting(self) -> int:
        return 0 if self.message is None else self.message.replaced_task_nesting

    @cached_property
    def stamped_headers(self) -> tuple[str, ...] | None:
        return None if self.message is None else self.message.stamped_headers

    @cached_property
    def stamps(self) -> dict[str, Any]:
        return {} if self.message is None else self.message.stamps

    @cached_property
    def headers(self) -> dict[str, Any]:
        return {} if self.message is None else self.message.headers

    @cached_property
    def timelimit(self) -> tuple[float | None, float | None]:
        return (None, None) if self.message is None else (self.message.timelimit or (None, None))

    @cached_property
    def callbacks(self) -> Any:
        return self.embed.get("callbacks")

    @cached_property
    def errbacks(self) -> Any:
        return self.embed.get("errbacks")

    @cached_property
    def chain(self) -> Any:
        """What follows it in its chain, the next step alone, in a list; None where nothing does.

        A task that sets it to None ends the chain: what would follow becomes REVOKED.
        """
        follows = self._follows(shares=False)
        return self.embed.get("chain") if follows is None else [follows]

    @cached_property
    def chord(self) -> Any:
        """The body of the chord that it is a member of; None where it is not."""
        follows = self._follows(shares=True)
        return self.embed.get("chord") if follows is None else follows

    def _follows(self, *, shares: bool) -> dict[str, Any] | None:
        """Return the signature, by name and id, of the step that waits for this one."""
        place = None if self.message is None else self.message.place
        if place is None or place.then is None or place.shares != shares:
            return None
        task_id, name = place.then
        options = {"task_id": task_id}
        return {
            "task": name,
            "args": [],
            "kwargs": {},
            "options": options,
            "subtask_type": None,
            "immutable": False,
        }

    @cached_property
    def delivery_info(self) -> dict[str, Any]:
        message = self.message
        if message is None:
            return {}
        return {
            "exchange": message.exchange or "",
            "routing_key": message.routing_key or message.queue,
            "priority": message.priority,
            "redelivered": self.delivery is not None and self.delivery.suspect,
            "queue": message.queue,
        }

    @cached_property
    def properties(self) -> dict[str, Any]:
        message = self.message
        if message is None:
            return {}
        return {
            "correlation_id": message.correlation_id or message.id,
            "reply_to": message.reply_to,
            "delivery_mode": message.delivery_mode,
            "priority": message.priority,
            "content_type": message.content_type,
            "content_encoding": message.content_encoding,
        }

    def __repr__(self) -> str:
        return f"<Context: {self.__dict__!r}>"


class DeliveredRequest(Request):
    """The request of a delivered message."""

    called_directly = False

    def __init__(
        self, delivery: Delivery, message: Message, *, args: Any, kwargs: Any, embed: dict[str, Any], hostname: str
    ) -> None:
        self.children = []
        self.members = []
        self.delivery = delivery
        self.embed = embed
        self.message = message
        self.id = message.id
        self.task = message.task
        self.args = args
        self.kwargs = kwargs
        self.hostname = hostname
        self.retries = message.retries
        self.root_id = message.root_id or message.id
        self.parent_id = message.parent_id
        self.fencing_token = delivery.lease.token
        self.attempt = message.retries + delivery.crashes + 1


current_request: ContextVar[Request | None] = ContextVar("celeriac_current_request", default=None)
"""The request of the run that this thread or coroutine is in."""
