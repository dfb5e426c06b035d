"""What a seed has in store: how big the installation is, how bad the network, who dies, who stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from random import Random


class Climate(msgspec.Struct, frozen=True, kw_only=True):
    """One run's circumstances. All durations are seconds; probabilities are for each request.

    Attributes:
        calm: Nothing goes wrong, and one worker with one slot must keep order.
        workers: How many workers.
        children: Child processes of each.
        producers: Processes that send tasks.
        tasks: How many tasks they send in all.
        lease: Length of a lease.
        claim_ahead: Seconds of work that a child claims ahead.
        coroutines: Coroutine slots of each child.
        threads: Sync slots in threads; 0 means the main thread.
        recycle: Tasks after which a child is replaced; None for never.
        trouble: Length of the time in which faults happen; then there is peace.
        latency: Usual time of a request or a reply on its way.
        slow: Probability of a slow one. ``slowest``: how slow at most.
        lose_request, lose_reply: Probabilities.
        late: Probability that a request which the sender has given up still arrives, later.
        die_at_request: Probability that the sender dies at some point of a request.
        freeze_at_request: Probability that it stands still between request and reply.
        lose_wakeup: Probability that a waiter is not told of something new.
        child_kills, host_kills, freezes, restarts, deploys, steps: How many of each happen: a child is killed; a worker
            and all its children; a process stands still; the store restarts; a worker is told to shut down and another
            takes its place; a wall clock is set.
        halts: How many times the store stands still, and then carries out everything that came in the meantime, also
            what its sender has given up. Nothing else goes wrong in such a run, and nobody may lose a lease.
        longest_halt: How long at most.
        longest_freeze: How long at most.
        skew: Largest difference between a machine's clock and the store's.
        cancels: How many attempts to revoke tasks.
    """

    calm: bool
    workers: int
    children: int
    producers: int
    tasks: int
    lease: float
    claim_ahead: float
    coroutines: int
    threads: int
    recycle: int | None
    trouble: float
    latency: float
    slow: float
    slowest: float
    lose_request: float
    lose_reply: float
    late: float
    die_at_request: float
    freeze_at_request: float
    lose_wakeup: float
    child_kills: int
    host_kills: int
    freezes: int
    restarts: int
    deploys: int
    steps: int
    halts: int
    longest_halt: float
    longest_freeze: float
    skew: float
    cancels: int


def climate(rng: Random) -> Climate:
    """Draw the circumstances of a run."""
    kind = rng.random()
    calm, halting = kind < 0.1, 0.1 <= kind < 0.2
    lease = rng.choice((1.5, 2.0, 3.0))

    def sometimes(probability: float, most: float) -> float:
        """Return 0.0 mostly, else up to ``most``."""
        return rng.random() * most if not (calm or halting) and rng.random() < probability else 0.0

    def few(probability: float, most: int) -> int:
        return rng.randint(1, most) if not (calm or halting) and rng.random() < probability else 0

    return Climate(
        calm=calm,
        workers=1 if calm else rng.choice((1, 2, 2, 3)),
        children=1 if calm else rng.choice((1, 1, 2)),
        producers=rng.choice((1, 1, 2)),
        tasks=rng.randint(8, 30),
        lease=lease,
        claim_ahead=rng.choice((0.05, 0.2, 0.5)),
        coroutines=rng.choice((1, 3, 8)),
        threads=0 if calm else rng.choice((0, 0, 0, 2)),
        recycle=None if calm or halting else rng.choice((None, None, None, 1, 5)),
        trouble=0.0 if calm else lease * rng.uniform(0.5, 2.5),
        latency=rng.choice((0.0005, 0.002, 0.01)),
        slow=sometimes(0.4, 0.1),
        slowest=lease * rng.choice((0.1, 0.6, 1.5)),
        lose_request=sometimes(0.4, 0.15),
        lose_reply=sometimes(0.5, 0.15),
        late=sometimes(0.2, 0.5),
        die_at_request=sometimes(0.3, 0.01),
        freeze_at_request=sometimes(0.3, 0.02),
        lose_wakeup=sometimes(0.3, 0.5),
        child_kills=few(0.4, 3),
        host_kills=few(0.3, 2),
        freezes=few(0.4, 3),
        restarts=few(0.25, 2),
        deploys=few(0.25, 2),
        steps=few(0.1, 2),
        halts=rng.randint(1, 3) if halting else 0,
        longest_halt=lease * rng.choice((0.4, 1.0, 2.5)) if halting else 0.0,
        longest_freeze=lease * rng.choice((0.3, 1.2, 2.5)),
        skew=sometimes(0.4, 3.0),
        cancels=rng.choice((0, 0, 2, 5)),
    )
