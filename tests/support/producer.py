"""A producer that sends while faults happen, and notes what was accepted and when."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from celeriac import Celeriac
from celeriac.core.ids import new_id
from celeriac.errors import OperationalError
from tests.support.fleet import Project
from tests.support.tally import Incident
from tests.support.waiting import wait_for

AHEAD: Final = 200
"""Tasks that wait at most."""


class Producer:
    """Sends calls of ``note`` in small batches from a thread of its own, until it is told to end.

    Args:
        project: Whose task it is. It waits while much of what it has sent has not run: what recovers is then seen soon.
        rng: For the sizes of the batches and the run times.
        app: By which to send it, if not the project's own.
        pause: Seconds between two batches.
        ahead: Tasks that wait at most. To see how calls are refused while nothing runs, it must be more than wait.
        seconds: Longest run time of a task.

    Attributes:
        accepted: When (monotonic) each id was accepted: the call had returned.
        refused: The errors of the calls that failed; what they sent may run or not.
        longest: Seconds that the longest call took.
    """

    def __init__(
        self,
        project: Project,
        rng: random.Random,
        *,
        app: Celeriac | None = None,
        pause: float = 0.01,
        ahead: int = AHEAD,
        seconds: float = 0.004,
    ) -> None:
        self._project: Final = project
        self._task: Final[Any] = (app or project.app).tasks["note"]
        self._rng: Final = rng
        self._pause: Final = pause
        self._ahead: Final = ahead
        self._seconds: Final = seconds
        self._ending: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="producer", daemon=True)
        self._error: BaseException | None = None
        self._calls: list[tuple[float, float, list[str]]] = []
        self._gone: frozenset[str] = frozenset()
        self.accepted: dict[str, float] = {}
        self.refused: list[OperationalError] = []
        self.longest = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(30)
        if kind is None and self._error is not None:
            raise self._error

    @property
    def ids(self) -> list[str]:
        """What was accepted so far."""
        return list(self.accepted)

    def since(self, at: float) -> set[str]:
        """Return what was accepted at this moment or later."""
        return {task_id for task_id, when in self.accepted.copy().items() if when >= at}

    def write_off(self, ids: set[str]) -> None:
        """Do not wait for these any more: the store has lost some of them, which would count as waiting for ever."""
        ended = {entry.id for entry in self._project.diary() if entry.word == "end"}
        self._gone |= ids - ended

    def spanning(self, faults: Sequence[Incident], outage: float = 0.0) -> list[Incident]:
        """Return the faults with what may run again because it was being sent then, to a store that then forgot it.

        A call whose reply is lost is repeated as the same call, which the store remembers, unless that is cut off, too.
        """
        return [
            one._replace(
                unsettled=one.unsettled.union(
                    *(ids for began, ended, ids in self._calls if began <= one.at + outage and ended >= one.at)
                )
            )
            for one in faults
        ]

    def repeating(self, faults: Sequence[Incident], outage: float = 0.0) -> list[Incident]:
        """Return the faults with what may run again since it was being sent then, where nobody knows a repeated call.

        That is RabbitMQ: ids that were published are known to nobody until they are claimed.
        """
        return list(faults) if self._project.backing.traits.whole else self.spanning(faults, outage)

    def recovered(self, at: float, timeout: float = 20.0) -> float:
        """Return the seconds from this moment until a task ran that was accepted after it; wait for that."""
        runs: list[float] = []

        def look() -> bool:
            new = self.since(at)
            runs[:] = [entry.at for entry in self._project.diary() if entry.word == "start" and entry.id in new]
            return bool(runs)

        wait_for(look, timeout, "a task sent and run after the fault", every=0.05)
        return min(runs) - at

    def longest_wait(self) -> str:
        """Return for a note how long a task waited at most from its acceptance to its first start."""
        starts = self._project.starts()
        waits = [starts[one][0].at - when for one, when in self.accepted.items() if one in starts]
        return f"no task waited longer than {max(waits):.2f} s for its first run"

    def _run(self) -> None:
        try:
            while not self._ending.wait(self._pause):
                if len(self.accepted) - len(self._gone) - self._project.ended() < self._ahead:
                    self._send()
        except BaseException as exc:  # Shown by whoever waits for the thread
            self._error = exc

    def _send(self) -> None:
        rng = self._rng
        times = [(rng.random() * self._seconds,) for _ in range(rng.randrange(1, 20))]
        began = time.monotonic()
        try:
            if len(times) > 1:
                ids = [one.id for one in self._task.apply_many(times)]
            else:
                ids = [self._task.apply_async(times[0], task_id=new_id()).id]
        except OperationalError as exc:
            self.refused.append(exc)
        else:
            self.accepted.update(dict.fromkeys(ids, time.monotonic()))
            self._calls.append((began, time.monotonic(), ids))
        self.longest = max(self.longest, time.monotonic() - began)
