"""What a run came to."""

from __future__ import annotations

import msgspec

from celeriac.testing.simulation.climate import Climate


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        seed: What decided it.
        digest: The hash of its trace: two runs with the same did the same.
        climate: The circumstances.
        violations: What must not be, in the order in which it was found; empty if all was well.
        trace: What happened, if it was to be kept.
        seconds: Virtual seconds that it took.
        tasks, runs, requests, faults: How many messages were accepted, task bodies began, requests were carried out,
            and faults happened.
    """

    seed: int
    digest: str
    climate: Climate
    violations: tuple[str, ...]
    trace: tuple[str, ...] = ()
    seconds: float = 0.0
    tasks: int = 0
    runs: int = 0
    requests: int = 0
    faults: int = 0

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations
