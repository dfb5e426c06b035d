"""Write docs/reference/states.md from the transition table, so that the page cannot say anything else than the code.

Usage: ``python -m scripts.state_diagram`` writes the page; with ``--check`` it only says whether the page is current.
A test does the same check.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from celeriac.core.state import (
    ALL_STATES,
    EXCEPTION_STATES,
    OWNED_STATES,
    PROPAGATE_STATES,
    READY_STATES,
    TRANSITIONS,
    WAITING_STATES,
)

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "reference" / "states.md"

STATES: Final = {
    "PENDING": "It waits in its queue. `AsyncResult` also says PENDING of an id that nobody knows.",
    "SCHEDULED": "It waits in the broker for its time: `eta`, `countdown`, or a worker parked it.",
    "RETRY": "It failed, is to be tried again, and waits in the broker until then.",
    "RECEIVED": "A worker holds it under a lease.",
    "STARTED": "It runs. A worker need not say so before it says how the run ended.",
    "SUCCESS": "It returned.",
    "FAILURE": "It raised, and is not to be tried again.",
    "REVOKED": "It was cancelled, or it expired before it started.",
    "REJECTED": "It refused its message.",
    "IGNORED": "It raised `Ignore`: it is over, and its state was left to the task.",
    "DEAD": "It was given up and is kept among the dead letters with the reason, for a person to look at.",
}
EVENTS: Final = {
    "enqueued": "sent, to run at once",
    "scheduled": "sent, to run later",
    "promoted": "its time has come",
    "claimed": "a worker takes it under a lease",
    "started": "its run begins",
    "succeeded": "its run returned",
    "failed": "its run raised",
    "retried": "to be tried again at a given time",
    "released": "given back as if never claimed",
    "parked": "given back, to wait first: for instance a worker does not know the task yet",
    "ignored": "it raised `Ignore`",
    "rejected": "it raised `Reject`",
    "buried": "given up: unreadable, unknown for too long, or it took too many processes with it",
    "lost": "its worker's lease ran out or its process died",
    "revoked": "cancelled or expired",
    "revived": "a person put it back into its queue",
}


def render() -> str:
    """Return the page as text.

    Raises:
        ValueError: The table has a state or an event that this script does not explain, or the other way round.
    """
    if unexplained := {event for _, event in TRANSITIONS} ^ EVENTS.keys() | ALL_STATES ^ STATES.keys():
        raise ValueError(f"scripts/state_diagram.py and core/state.py differ in {sorted(unexplained)}")
    return "\n".join(
        [
            "# States of a task",
            "",
            "<!-- Written by scripts/state_diagram.py from src/celeriac/core/state.py. Change the table there, then",
            "     run `python -m scripts.state_diagram`. -->",
            "",
            "Every change of state in every broker driver is an arrow of this picture. There are no others.",
            "",
            *_diagram(),
            "",
            "## What each state means",
            "",
            *_states(),
            "",
            "*Over* means that nothing more happens by itself; only a dead letter can come back. *Raises* means that",
            "`AsyncResult.get()` raises. *Exception* means that the stored value is one.",
            "",
            "## What leads from state to state",
            "",
            *_events(),
            "",
        ]
    )


def _diagram() -> list[str]:
    arrows: dict[tuple[str, str], list[str]] = {}
    for (origin, event), target in TRANSITIONS.items():
        arrows.setdefault((origin or "[*]", target), []).append(event)
    for state in _ordered(READY_STATES - {"DEAD"}):
        arrows[state, "[*]"] = []
    lines = [
        f"    {origin} --> {target}" + (f": {', '.join(events)}" if events else "")
        for (origin, target), events in arrows.items()
    ]
    return ["```mermaid", "stateDiagram-v2", *lines, "```"]


def _states() -> list[str]:
    rows = ["| state | kind | get() raises | value is an exception | meaning |", "|---|---|---|---|---|"]
    for state in _ordered(ALL_STATES):
        kind = "waiting" if state in WAITING_STATES else "owned" if state in OWNED_STATES else "over"
        raises = "yes" if state in PROPAGATE_STATES else ""
        exception = "yes" if state in EXCEPTION_STATES else ""
        rows.append(f"| {state} | {kind} | {raises} | {exception} | {STATES[state]} |")
    return rows


def _events() -> list[str]:
    rows = ["| event | meaning | from | to |", "|---|---|---|---|"]
    for event, meaning in EVENTS.items():
        origins = [origin or "nothing" for origin, name in TRANSITIONS if name == event]
        targets = dict.fromkeys(target for (_, name), target in TRANSITIONS.items() if name == event)
        rows.append(f"| {event} | {meaning} | {', '.join(origins)} | {', '.join(targets)} |")
    return rows


def _ordered(states: frozenset[str]) -> list[str]:
    return [state for state in STATES if state in states]


def main(arguments: list[str]) -> int:
    """Write the page, or check it; return the exit status."""
    page = render()
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print("docs/reference/states.md is not what the table says: run `python -m scripts.state_diagram`")
        return 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
