"""The examples of signals and of workflows, run as a user runs them."""

from __future__ import annotations

import pytest

from tests.docs.test_fault_examples import play

RUN = "task_prerun → (before_start) → (the task's code) → {} → (after_return) → task_postrun"
RETURNS = RUN.format("(on_success) → task_success")
PUBLISHED = "before_task_publish → after_task_publish"
OF_TASKS = {
    "returns": (PUBLISHED, f"task_received → {RETURNS}"),
    "is retried": (
        PUBLISHED,
        "task_received → task_prerun → (before_start) → (the task's code) → before_task_publish → (on_retry)"
        f" → task_retry → task_postrun → after_task_publish → task_received → {RETURNS}",
    ),
    "fails": (PUBLISHED, f"task_received → {RUN.format('(on_failure) → task_failure')}"),
    "has expired": (PUBLISHED, "task_received → task_revoked"),
    "is unknown": (PUBLISHED, "task_received → task_unknown"),
    "cannot be read": ("", "task_received → task_rejected"),
    "has a callback": (PUBLISHED, f"task_received → {RETURNS}"),
    "the callback": ("", f"{PUBLISHED} → task_received → {RETURNS}"),
    "first of a chain": (PUBLISHED, f"task_received → {RETURNS}"),
    "second of a chain": (PUBLISHED, f"task_received → {RETURNS}"),
}
OF_PROCESSES = {
    "The sender": "app.on_configure → app.on_after_configure → app.on_after_finalize",
    "The worker": "app.on_configure → app.on_after_configure → app.on_after_finalize → celeryd_init → import_modules"
    " → celeryd_after_setup → after_setup_logger → after_setup_task_logger → worker_init → beat_embedded_init"
    " → worker_before_create_process → worker_ready → worker_shutting_down → worker_shutdown",
    "Its child process": "app.on_after_fork → app.on_configure → import_modules → after_setup_logger"
    " → after_setup_task_logger → app.on_after_configure → app.on_after_finalize → worker_process_init"
    " → worker_process_shutdown",
}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_signals_come_in_this_order_in_sender_worker_and_child() -> None:
    processes, *tasks = play("examples.signals.demo").strip().split("\n\n")
    assert dict(line.split(": ", 1) for line in processes.splitlines()) == OF_PROCESSES
    found: dict[str, tuple[str, str]] = {}
    for text in tasks:
        title, sender, worker = text.splitlines()
        found[title.removesuffix(":")] = (
            sender.removeprefix("  sender:").strip(),
            worker.removeprefix("  worker:").strip(),
        )
    assert found == OF_TASKS


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_order_fails_half_way_and_goes_on_where_it_failed() -> None:
    told = play("examples.orders.demo")
    failed, resumed = told.split("The warehouse is open: 1 step is tried again\n")
    assert failed.count("ask: SUCCESS") == 3
    assert "reserve: FAILURE\n  invoice: FAILURE" in failed
    assert "The order: SUCCESS, Ada owes 100 to Cleo" in resumed
    assert resumed.splitlines()[-3:] == [
        "dear Ada, your order takes longer: the warehouse does not answer",
        "reserved lamp at Cleo",
        "invoice for Ada",
    ]
