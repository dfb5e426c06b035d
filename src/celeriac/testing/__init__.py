"""The public test kit: what tests of applications, of other people's drivers, and of Celeriac itself are made with.

For applications: :class:`Kit`, a test's view of an app, and :func:`start_worker`, a worker in threads of the process.
The pytest plugin ``pytest_celeriac`` makes fixtures of both.
"""

from celeriac.testing.clock import VirtualClock
from celeriac.testing.kit.drain import TooManyRuns
from celeriac.testing.kit.kit import Kit
from celeriac.testing.kit.records import Enqueued, Ran
from celeriac.testing.kit.store import NothingRuns
from celeriac.testing.worker import ThreadedWorker, start_worker

__all__ = ["Enqueued", "Kit", "NothingRuns", "Ran", "ThreadedWorker", "TooManyRuns", "VirtualClock", "start_worker"]
