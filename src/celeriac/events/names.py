"""The list of events; it is the contract with subscribers. Events are past participles and frozen values.

Times are seconds since the epoch, durations float seconds.
"""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """Root of all events."""


class TaskEvent(Event, frozen=True, gc=False):
    """Something happened to a task."""

    id: str
    name: str


class TaskReceived(TaskEvent, frozen=True, gc=False):
    """A child process claimed the task."""

    args: str | None = None
    kwargs: str | None = None


class TaskStarted(TaskEvent, frozen=True, gc=False):
    """The task's code is about to run."""


class TaskSucceeded(TaskEvent, frozen=True, gc=False):
    """The task returned."""

    runtime: float
    value: object = None


class TaskFailed(TaskEvent, frozen=True, gc=False):
    """The task raised, or was ended by a time limit; it is over."""

    runtime: float
    exception: BaseException
    traceback: str | None = None
    expected: bool = False
    """The exception is in the task's ``throws``: no traceback is logged."""
    args: str | None = None
    kwargs: str | None = None


class TaskRetried(TaskEvent, frozen=True, gc=False):
    """The task will be tried again."""

    delay: float
    retries: int
    exception: BaseException | None = None
    traceback: str | None = None


class TaskRevoked(TaskEvent, frozen=True, gc=False):
    """The task was revoked or had expired; it does not run, or was stopped."""

    reason: str


class TaskIgnored(TaskEvent, frozen=True, gc=False):
    """The task raised Ignore."""


class TaskReleased(TaskEvent, frozen=True, gc=False):
    """The task was given back to its queue."""

    reason: str


class TaskParked(TaskEvent, frozen=True, gc=False):
    """No task of that name is registered here; the message waits for a worker that knows it."""

    delay: float
    left: float
    """Seconds until it becomes a dead letter."""


class TaskDead(TaskEvent, frozen=True, gc=False):
    """The task became a dead letter."""

    reason: str


class SecurityRefused(Event, frozen=True, gc=False):
    """A message or remote command was refused: not signed or encrypted with this app's keys, changed, or replayed."""

    kind: str
    """``message`` or ``command``."""
    id: str
    name: str
    """Of the task or command, as whoever wrote it says."""
    reason: str


class LeaseLost(Event, frozen=True, gc=False):
    """What this worker held was taken over by another; outcomes of these tasks do not count."""

    ids: tuple[str, ...]
    owner: str


class StraysFound(Event, frozen=True, gc=False):
    """The broker held these tasks for this worker, which did not know of them; they are given back."""

    ids: tuple[str, ...]
    owner: str


class HookFailed(TaskEvent, frozen=True, gc=False):
    """A hook or callback in user code raised; the task's outcome stands."""

    hook: str
    traceback: str


class ServiceFailed(Event, frozen=True, gc=False):
    """A background loop could not do its work; it tries again."""

    service: str
    error: str
    retry_in: float


class ServiceRecovered(Event, frozen=True, gc=False):
    """A background loop works again after failures."""

    service: str
    outage: float


class SchedulerLed(Event, frozen=True, gc=False):
    """A scheduler has taken the lead, or has it no more."""

    holder: str
    leads: bool


class EntriesFired(Event, frozen=True, gc=False):
    """Runs of schedule entries were enqueued in one step."""

    runs: tuple[tuple[str, str, str], ...]
    """Entry, task name and task id of each."""
    lateness: float
    """Seconds by which the one that waited longest is late."""
    waited: tuple[float, ...] = ()
    """Seconds that each waited, from the due time of its entry until the store had it."""


class EntryFailed(Event, frozen=True, gc=False):
    """A schedule entry cannot be carried out; it was put aside until it is changed."""

    name: str
    reason: str


class EntryDoubted(Event, frozen=True, gc=False):
    """A schedule entry may not do what it should; it is carried out."""

    name: str
    reason: str


class TroubleFound(Event, frozen=True, gc=False):
    """A store was examined, and something about it may lose work or stop it."""

    store: str
    """``broker`` or ``result store``."""
    level: str
    """``warning`` or ``error``."""
    subject: str
    text: str
    remedy: str


class WorkerReady(Event, frozen=True, gc=False):
    """Every child process claims tasks."""

    node: str


class ChildStarted(Event, frozen=True, gc=False):
    """A child process claims tasks."""

    owner: str
    pid: int


class ChildExited(Event, frozen=True, gc=False):
    """A child process ended."""

    owner: str
    pid: int
    reason: str
    expected: bool


class ShutdownPhase(Event, frozen=True, gc=False):
    """The worker's shutdown reached a phase."""

    phase: str
