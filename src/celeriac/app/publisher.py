"""From a call to a message in the broker.

A failed enqueue is tried again under the setting ``task_publish_retry_policy``, for ``publish_timeout`` seconds at
most, and then raises one OperationalError. Brokers drop a message that they hold already, and know a call that is
repeated even if its tasks are over by then, so what is sent twice runs once. (RabbitMQ alone knows neither.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.app import announcing, eager, loops
from celeriac.app.bundling import Bundler
from celeriac.app.options import check_send_names
from celeriac.app.plan import Plan, PublishPolicy, Rules, sending_request
from celeriac.app.result import AsyncResult
from celeriac.app.senders import Senders
from celeriac.app.transaction import Outbox, connection_for
from celeriac.brokers.deadline import Until
from celeriac.brokers.port import MAX_BATCH, Sending
from celeriac.core.message import Message, check_name
from celeriac.core.redact import redact_url
from celeriac.errors import OperationalError
from celeriac.events import signals

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac
    from celeriac.app.connections import Connections
    from celeriac.app.planting import Planting
    from celeriac.app.task import Task
    from celeriac.core.workflow import Join, Workflow

_PLANS_BY_NAME: Final = 1000
"""Most names of tasks whose code is elsewhere for which a plan is kept."""


_TRIES: Final = frozenset({"retry", "retry_policy", "connection"})
"""Options of a call that say how its own message is sent."""


class Order(NamedTuple):
    """One call: a task, or the name of one whose code is elsewhere, with arguments and options."""

    task: Task[..., Any] | str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: Mapping[str, Any] | None = None


class Batch(NamedTuple):
    """What one round trip sends, and what its callers get."""

    messages: list[Message]
    receipts: list[AsyncResult[Any]]


class Attempt(NamedTuple):
    """Messages that a broker did not take.

    Attributes:
        messages: All of one round trip.
        sending: What it is sent as, each time.
        began: When it was first tried, on the steady clock.
        before: How many of the same call were sent before them.
    """

    messages: Sequence[Message]
    sending: Sending | None
    began: float
    before: int = 0


def _ended(end: Callable[[], None] | None) -> None:
    if end is not None:
        end()


class Publisher:
    """Sends the tasks of one app.

    Args:
        app: The app; its brokers are opened with the first message.
        connections: The app's.
    """

    def __init__(self, app: Celeriac, connections: Connections) -> None:
        self._app = app
        self._connections = connections
        self._rules: Rules | None = None
        self._by_name: dict[str, Plan] = {}
        self._senders = Senders()
        self._bundler = Bundler(lambda messages: self._aenqueue(messages, None))

    def settings_changed(self) -> None:
        """Work everything out again with the next call."""
        self._rules = None
        self._by_name.clear()

    # Sending one.

    def send(
        self,
        task: Task[..., Any] | str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Mapping[str, Any] | None = None,
    ) -> AsyncResult[Any]:
        """Send one task, or run it here if the app is eager."""
        plan = self.plan(task)
        if plan.rules.eager:
            return self._run_here(plan, args, kwargs, options or {})
        message = plan.message(args, kwargs, options)
        if signals.before_task_publish.receivers:
            message = announcing.before(plan, message, options)
        self._enqueue((message,), options)
        if signals.after_task_publish.receivers:
            announcing.after((message,))
        return self._receipt(plan, message, options)

    async def asend(
        self,
        task: Task[..., Any] | str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Mapping[str, Any] | None = None,
    ) -> AsyncResult[Any]:
        """Send one task; the awaitable twin of :meth:`send`."""
        plan = self.plan(task)
        if plan.rules.eager:
            return await loops.in_thread(self._run_here, plan, args, kwargs, options or {})
        message = plan.message(args, kwargs, options)
        if signals.before_task_publish.receivers:
            message = announcing.before(plan, message, options)
        if not options or _TRIES.isdisjoint(options):
            await self._asend_one(message)
        else:
            await self._aenqueue((message,), options)
        if signals.after_task_publish.receivers:
            announcing.after((message,))
        return self._receipt(plan, message, options)

    # Sending many.

    def send_many(self, orders: Iterable[Order], options: Mapping[str, Any]) -> list[AsyncResult[Any]]:
        """Send tasks, in one round trip per 500; while the broker has one, the next is made."""
        receipts: list[AsyncResult[Any]] = []
        end: Callable[[], None] | None = None
        try:
            for batch in self._batches(orders, options):
                _ended(end)
                end = self._begin(batch.messages, options, len(receipts)) if batch.messages else None
                receipts += batch.receipts
        except Exception:
            _ended(end)  # What was sent before the error is certain.
            raise
        _ended(end)
        return receipts

    async def asend_many(self, orders: Iterable[Order], options: Mapping[str, Any]) -> list[AsyncResult[Any]]:
        """Send tasks, in one round trip per 500; the awaitable twin of :meth:`send_many`."""
        receipts: list[AsyncResult[Any]] = []
        batches = self._batches(orders, options)
        while True:
            # Eager tasks run while their batch is made, and coroutine tasks among them need a loop of their own.
            batch = await loops.in_thread(next, batches, None) if self.rules.eager else next(batches, None)
            if batch is None:
                return receipts
            if batch.messages:
                await self._aenqueue(batch.messages, options, len(receipts))
                if signals.after_task_publish.receivers:
                    announcing.after(batch.messages)
            receipts += batch.receipts

    def _batches(self, orders: Iterable[Order], options: Mapping[str, Any]) -> Iterator[Batch]:
        if options.get("task_id") is not None:
            raise TypeError("task_id names one task, and this call sends many: leave it out")
        check_send_names(options, "the call")
        several = iter(orders)
        while part := list(islice(several, MAX_BATCH)):
            batch = Batch([], [])
            for task, args, kwargs, own in part:
                plan = self.plan(task)
                merged = {**own, **options} if own else options
                if plan.rules.eager:
                    batch.receipts.append(self._run_here(plan, args, kwargs, merged))
                else:
                    message = plan.message(args, kwargs, merged)
                    if signals.before_task_publish.receivers:
                        message = announcing.before(plan, message, merged)
                    batch.messages.append(message)
                    batch.receipts.append(self._receipt(plan, message, merged))
            yield batch

    # Workflows.

    def plant(self, planting: Planting, options: Mapping[str, Any]) -> None:
        """Store a workflow and send its first messages, in as few round trips as its size allows."""
        if planting.workflow is not None:
            for part in planting.parts():
                self._plant(planting.workflow, part, options)
        for start in range(0, len(planting.first), MAX_BATCH):
            self._enqueue(planting.first[start : start + MAX_BATCH], options, start)
        _planted(planting)

    async def aplant(self, planting: Planting, options: Mapping[str, Any]) -> None:
        """Store a workflow and send its first messages; the awaitable twin of :meth:`plant`."""
        if planting.workflow is not None:
            for part in planting.parts():
                await self._aplant(planting.workflow, part, options)
        for start in range(0, len(planting.first), MAX_BATCH):
            await self._aenqueue(planting.first[start : start + MAX_BATCH], options, start)
        _planted(planting)

    def _plant(self, workflow: Workflow, joins: Sequence[Join], options: Mapping[str, Any]) -> None:
        began = time.monotonic()
        lent = connection_for(self._app, options)
        if lent is not None:
            self._connections.lent(lent).plant(workflow, joins)
            return
        pauses = self._pauses(options, began)
        while True:
            try:
                with Until(began + self.rules.timeout):
                    self._app.broker.plant(workflow, joins)
                return
            except OperationalError as exc:
                pause = next(pauses, None)
                if pause is None:
                    raise self._failure(Attempt(_waiting(joins), None, began), exc) from exc
                time.sleep(pause)

    async def _aplant(self, workflow: Workflow, joins: Sequence[Join], options: Mapping[str, Any]) -> None:
        began = time.monotonic()
        lent = connection_for(self._app, options)
        if lent is not None:
            await self._connections.async_lent(lent).plant(workflow, joins)
            return
        pauses = self._pauses(options, began)
        while True:
            try:
                with Until(began + self.rules.timeout):
                    await self._app.async_broker().plant(workflow, joins)
                return
            except OperationalError as exc:
                pause = next(pauses, None)
                if pause is None:
                    raise self._failure(Attempt(_waiting(joins), None, began), exc) from exc
                await loops.sleep(pause)

    # Working out.

    @property
    def rules(self) -> Rules:
        """What the settings say about sending."""
        found = self._rules
        if found is None:
            found = self._rules = Rules(self._app)
        return found

    def plan(self, task: Task[..., Any] | str) -> Plan:
        """Return the plan for a task, or for the name of one.

        Raises:
            InvalidTaskError: The name is none that a message can carry.
        """
        rules = self._rules or self.rules
        if isinstance(task, str):
            known = self._app.tasks.get(task)
            if known is None:
                return self._plan_by_name(rules, task)
            task = known
        plan = task.send_plan
        if plan is None or plan.rules is not rules:
            self._app.finalize(auto=True)
            plan = task.send_plan = Plan(rules, task.name, task)
        return plan

    def _plan_by_name(self, rules: Rules, name: str) -> Plan:
        plan = self._by_name.get(name)
        if plan is None:
            check_name(name)
            if len(self._by_name) >= _PLANS_BY_NAME:
                self._by_name.clear()
            plan = self._by_name[name] = Plan(rules, name, None)
        return plan

    def _run_here(
        self, plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
    ) -> AsyncResult[Any]:
        task = plan.task if plan.task is not None else self._app.tasks[plan.name]
        return eager.apply(task, args, kwargs, options)

    def _receipt(self, plan: Plan, message: Message, options: Mapping[str, Any] | None) -> AsyncResult[Any]:
        receipt: AsyncResult[Any] = AsyncResult(message.id, None, plan.name, self._app)
        ignored = message.ignore_result
        receipt.ignored = plan.ignored if ignored is None else ignored
        if plan.trail and message.parent_id is not None and (options is None or options.get("add_to_parent", True)):
            request = sending_request()
            if request is not None:
                request.children.append(message.id)
        return receipt

    # In one round trip.

    def _enqueue(self, messages: Sequence[Message], options: Mapping[str, Any] | None, before: int = 0) -> None:
        app = self._app
        began = time.monotonic()
        lent = connection_for(app, options)
        if self.rules.replies:
            with Until(began + self.rules.timeout):
                messages = self._connections.replying_store().expecting(messages)
        if app.outbox is not None and self._kept(app.outbox, lent, messages):
            return
        if lent is not None:  # If it fails the transaction has; to try again in it would be of no use.
            self._connections.lent(lent).enqueue(messages)
            return
        broker = app.broker
        sending = self._senders.next() if broker.capabilities.remote else None
        try:
            with Until(began + self.rules.timeout):
                broker.enqueue(messages, sending)
        except OperationalError as exc:
            self._send_again(Attempt(messages, sending, began, before), options or {}, exc)
        if sending is not None:
            self._senders.answered(sending)

    def _begin(self, messages: Sequence[Message], options: Mapping[str, Any], before: int) -> Callable[[], None] | None:
        """Send messages, and return what waits until the broker has them; None if it does."""
        app = self._app
        if self.rules.replies or app.outbox is not None or connection_for(app, options) is not None:
            self._enqueue(messages, options, before)
            if signals.after_task_publish.receivers:
                announcing.after(messages)
            return None
        broker, timeout = app.broker, self.rules.timeout
        sending = self._senders.next() if broker.capabilities.remote else None
        first = time.monotonic()
        with Until(first + timeout):
            finish = broker.begin_enqueue(messages, sending)
        spent = time.monotonic() - first

        def end() -> None:
            # One time for both parts; what the caller does between them, such as to think of further calls, is its own.
            began = time.monotonic() - spent
            try:
                with Until(began + timeout):
                    finish()
            except OperationalError as exc:
                self._send_again(Attempt(messages, sending, began, before), options, exc)
            if sending is not None:
                self._senders.answered(sending)
            if signals.after_task_publish.receivers:
                announcing.after(messages)

        return end

    async def _asend_one(self, message: Message) -> None:
        """Send a message whose call says nothing of how, together with those that are sent at the same time."""
        app = self._app
        plain = not self.rules.replies and app.outbox is None and connection_for(app, None) is None
        # Where the broker does not know ids, those of a refused bundle could not be sent again one by one.
        if plain and (capabilities := app.async_broker().capabilities).indexed and capabilities.durable:
            await self._bundler.send(message)
        else:
            await self._aenqueue((message,), None)

    async def _aenqueue(self, messages: Sequence[Message], options: Mapping[str, Any] | None, before: int = 0) -> None:
        app = self._app
        began = time.monotonic()
        lent = connection_for(app, options)
        if self.rules.replies:
            with Until(began + self.rules.timeout):
                messages = await self._connections.replying_store().aexpecting(messages)
        if app.outbox is not None and self._kept(app.outbox, lent, messages):
            return
        if lent is not None:
            await self._connections.async_lent(lent).enqueue(messages)
            return
        broker = app.async_broker()
        sending = self._senders.next() if broker.capabilities.remote else None
        try:
            with Until(began + self.rules.timeout):
                await broker.enqueue(messages, sending)
        except OperationalError as exc:
            await self._asend_again(Attempt(messages, sending, began, before), options or {}, exc)
        if sending is not None:
            self._senders.answered(sending)

    # By way of an outbox.

    def _kept(self, outbox: Outbox, given: Any, messages: Sequence[Message]) -> bool:
        session = outbox.session_for(given)
        if session is None:
            return False
        outbox.keep(session, self._connections.sealed(messages))
        return True

    def forward(self, messages: Sequence[Message], sending: Sending) -> None:
        """Hand messages of an outbox, which were sealed when they were written, to the broker; nothing is tried again.

        Args:
            messages: At most MAX_BATCH.
            sending: What they are sent as, each time they are.

        Raises:
            OperationalError: The broker is away.
            BrokerError, InvalidTaskError: It refuses them.
        """
        with Until(time.monotonic() + self.rules.timeout):
            self._connections.forwarding.enqueue(messages, sending)

    # When the broker is away.

    def _send_again(self, attempt: Attempt, options: Mapping[str, Any], error: OperationalError) -> None:
        for pause in self._pauses(options, attempt.began):
            time.sleep(pause)
            try:
                with Until(attempt.began + self.rules.timeout):
                    self._app.broker.enqueue(attempt.messages, attempt.sending)
            except OperationalError as exc:
                error = exc
            else:
                return
        raise self._failure(attempt, error) from error

    async def _asend_again(self, attempt: Attempt, options: Mapping[str, Any], error: OperationalError) -> None:
        for pause in self._pauses(options, attempt.began):
            await loops.sleep(pause)
            try:
                with Until(attempt.began + self.rules.timeout):
                    await self._app.async_broker().enqueue(attempt.messages, attempt.sending)
            except OperationalError as exc:
                error = exc
            else:
                return
        raise self._failure(attempt, error) from error

    def _pauses(self, options: Mapping[str, Any], began: float) -> Iterator[float]:
        """Yield the seconds to wait before each further try."""
        rules = self.rules
        wanted = options.get("retry")
        if not (rules.retry if wanted is None else wanted):
            return
        own: Mapping[str, Any] = options.get("retry_policy") or {}
        policy = PublishPolicy(**{**rules.retry_policy, **own})
        pause = policy.interval_start
        deadline = began + rules.timeout
        tries = 0
        while (policy.max_retries is None or tries < policy.max_retries) and time.monotonic() + pause < deadline:
            yield pause
            tries += 1
            pause = min(pause + policy.interval_step, policy.interval_max)

    def _failure(self, attempt: Attempt, error: OperationalError) -> OperationalError:
        messages, _, _, before = attempt
        first = messages[0]
        what = f"task {first.task}[{first.id}] could" if len(messages) == 1 else f"{len(messages)} tasks could"
        sent = f" ({before} before them were sent)" if before else ""
        url = redact_url(self._app.broker_url)
        return type(error)(f"{what} not be sent to the broker {url}{sent}: {error}")


def _waiting(joins: Sequence[Join]) -> list[Message]:
    return [message for join in joins for message in join.messages]


def _planted(planting: Planting) -> None:
    """Tell that a workflow was sent, and let the task that sends it know its first steps as children."""
    if signals.after_task_publish.receivers:
        announcing.after(planting.first)
        announcing.after_planting(planting.joins)
    request = sending_request()
    if request is not None:
        request.children += [message.id for message in planting.first]
