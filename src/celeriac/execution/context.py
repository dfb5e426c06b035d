"""What task code sees as ``self.request``, and which run is the current one.

The current run is a context variable: it is right in threads and in coroutines alike.
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from celeriac.core.message import Delivery, Message


class Request:
    """The run of a task, with the fields of Celery's request.

    Beside Celery's: ``attempt`` (1 for the first delivery of the first try), ``fencing_token`` (grows with every claim
    of this task; pass it to other systems so that they can refuse a superseded run) and ``message``.
    Times are ISO 8601 text, as Celery's are; ``timelimit`` is (hard, soft) in seconds.
    """

    called_directly: bool = True
    is_eager: bool = False
    id: str | None = None
    task: str | None = None
    args: Any = None
    kwargs: Any = None
    hostname: str | None = None
    message: Message | None = None
    attempt: int = 0
    fencing_token: int = 0
    retries: int = 0
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    eta: str | None = None
    expires: str | None = None
    timelimit: tuple[float | None, float | None] = (None, None)
    callbacks: Any = None
    errbacks: Any = None
    chain: Any = None
    chord: Any = None
    headers: dict[str, Any] | None = None
    delivery_info: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    origin: str | None = None
    shadow: str | None = None
    ignore_result: bool = False
    replaced_task_nesting: int = 0
    stamped_headers: Any = None
    stamps: Any = None
    utc: bool = True
    pending_retry: BaseException | None = None
    """A retry asked for with ``throw=False``; carried out when the run ends."""

    def __init__(self, **fields: Any) -> None:
        self.children: list[str] = []
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

    def __repr__(self) -> str:
        return f"<Context: {self.__dict__!r}>"


def iso(moment: float | None) -> str | None:
    """Return seconds since the epoch as ISO 8601 text in UTC."""
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()


class DeliveredRequest(Request):
    """The request of a delivered message. Fields that few tasks read are computed when they are first read."""

    called_directly = False

    def __init__(
        self, delivery: Delivery, message: Message, *, args: Any, kwargs: Any, embed: dict[str, Any], hostname: str
    ) -> None:
        self.children = []
        self.delivery = delivery
        self.embed = embed
        self.message: Message = message
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

    @cached_property
    def group(self) -> str | None:  # type: ignore[override]
        return self.message.group

    @cached_property
    def group_index(self) -> int | None:  # type: ignore[override]
        return self.message.group_index

    @cached_property
    def eta(self) -> str | None:  # type: ignore[override]
        return iso(self.message.eta)

    @cached_property
    def expires(self) -> str | None:  # type: ignore[override]
        return iso(self.message.expires)

    @cached_property
    def timelimit(self) -> tuple[float | None, float | None]:  # type: ignore[override]
        return self.message.timelimit or (None, None)

    @cached_property
    def callbacks(self) -> Any:  # type: ignore[override]
        return self.embed.get("callbacks")

    @cached_property
    def errbacks(self) -> Any:  # type: ignore[override]
        return self.embed.get("errbacks")

    @cached_property
    def chain(self) -> Any:  # type: ignore[override]
        return self.embed.get("chain")

    @cached_property
    def chord(self) -> Any:  # type: ignore[override]
        return self.embed.get("chord")

    @cached_property
    def headers(self) -> dict[str, Any]:  # type: ignore[override]
        return self.message.headers

    @cached_property
    def delivery_info(self) -> dict[str, Any]:  # type: ignore[override]
        message = self.message
        return {
            "exchange": message.exchange or "",
            "routing_key": message.routing_key or message.queue,
            "priority": message.priority,
            "redelivered": self.delivery.suspect,
            "queue": message.queue,
        }

    @cached_property
    def properties(self) -> dict[str, Any]:  # type: ignore[override]
        message = self.message
        return {
            "correlation_id": message.correlation_id or message.id,
            "reply_to": message.reply_to,
            "delivery_mode": message.delivery_mode,
            "priority": message.priority,
            "content_type": message.content_type,
            "content_encoding": message.content_encoding,
        }

    @cached_property
    def correlation_id(self) -> str | None:  # type: ignore[override]
        return self.message.correlation_id or self.message.id

    @cached_property
    def reply_to(self) -> str | None:  # type: ignore[override]
        return self.message.reply_to

    @cached_property
    def origin(self) -> str | None:  # type: ignore[override]
        return self.message.origin

    @cached_property
    def shadow(self) -> str | None:  # type: ignore[override]
        return self.message.shadow

    @cached_property
    def replaced_task_nesting(self) -> int:  # type: ignore[override]
        return self.message.replaced_task_nesting

    @cached_property
    def stamped_headers(self) -> Any:  # type: ignore[override]
        return self.message.stamped_headers

    @cached_property
    def stamps(self) -> Any:  # type: ignore[override]
        return self.message.stamps


current_request: ContextVar[Request | None] = ContextVar("celeriac_current_request", default=None)
"""The request of the run that this thread or coroutine is in."""
