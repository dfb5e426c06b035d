"""What happens, as values.

Services emit events; nobody else logs about tasks and workers. Subscribers turn events into log lines, metrics, traces.
"""

from celeriac.events.bus import Bus
from celeriac.events.names import (
    ChildExited,
    ChildStarted,
    Event,
    HookFailed,
    LeaseLost,
    SecurityRefused,
    ServiceFailed,
    ServiceRecovered,
    ShutdownPhase,
    StraysFound,
    TaskDead,
    TaskFailed,
    TaskIgnored,
    TaskParked,
    TaskReceived,
    TaskReleased,
    TaskRetried,
    TaskRevoked,
    TaskStarted,
    TaskSucceeded,
    TroubleFound,
    WorkerReady,
)

__all__ = [
    "Bus",
    "ChildExited",
    "ChildStarted",
    "Event",
    "HookFailed",
    "LeaseLost",
    "SecurityRefused",
    "ServiceFailed",
    "ServiceRecovered",
    "ShutdownPhase",
    "StraysFound",
    "TaskDead",
    "TaskFailed",
    "TaskIgnored",
    "TaskParked",
    "TaskReceived",
    "TaskReleased",
    "TaskRetried",
    "TaskRevoked",
    "TaskStarted",
    "TaskSucceeded",
    "TroubleFound",
    "WorkerReady",
]
