"""``celeriac workflow``, without a worker: what is kept of workflows, in the words of the commands."""

from __future__ import annotations

from celeriac import chord
from celeriac.app.find import find_app
from celeriac.core.message import Arrival, StoredResult
from celeriac.core.workflow import unpack_graph
from tests.unit.cli.conftest import Celeriac


def plant(count: int) -> str:
    """Send a chord of so many tasks and a last one behind it; return the workflow's id."""
    app = find_app("proj.tasks")
    add = app.tasks["proj.tasks.add"]
    (chord([add.s(1, 1) for _ in range(count)], app.tasks["proj.tasks.hold"].s()) | add.s(1))()
    return app.control.workflows.list()[-1].id


def arrive(workflow: str, step: int, *, failed: bool = False) -> None:
    """Let a step be over, as a worker that settles it would."""
    app = find_app("proj.tasks")
    (record,) = app.broker.workflows([workflow], 0.0, 1)
    node = unpack_graph(record.record).nodes[step]
    told = StoredResult(id=node.id, state="FAILURE" if failed else "SUCCESS", date_done=1.0)
    (sent,) = app.broker.get([node.id])
    where = Arrival(
        workflow=workflow,
        join=node.join,
        slot=node.slot,
        result=told,
        failed=failed,
        message=sent.message if failed else None,
    )
    app.broker.arrive([where])


def test_workflows_are_listed_and_shown(celeriac: Celeriac) -> None:
    assert "There are no workflows." in celeriac("workflow", "list").out
    small, large = plant(2), plant(30)
    listed = celeriac.json("workflow", "list")
    assert [(one["id"], one["state"]) for one in listed] == [(small, "PENDING"), (large, "PENDING")]
    assert small in celeriac("workflow", "list", "-n", "1").out
    arrive(small, 0)
    lines = celeriac("workflow", "show", small).out.splitlines()
    words = [line.split()[:2] for line in lines[1:]]
    assert words == [
        ["chain"],
        ["group"],
        ["SUCCESS", "proj.tasks.add"],
        ["PENDING", "proj.tasks.add"],
        ["chain"],
        ["WAITING", "proj.tasks.hold"],
        ["WAITING", "proj.tasks.add"],
    ]
    arrive(large, 3, failed=True)
    shown = celeriac("workflow", "show", large).out
    assert "1 FAILURE, 29 PENDING" in shown
    assert shown.count("proj.tasks.add") == 2  # Of the group only the one that failed, and the last step.
    steps = celeriac.json("workflow", "show", large)["steps"]
    assert [one["state"] for one in steps].count("FAILURE") == 1


def test_a_workflow_is_resumed_revoked_and_forgotten(celeriac: Celeriac) -> None:
    flow = plant(2)
    assert "none to try again" in celeriac("workflow", "resume", flow, code=1).err
    arrive(flow, 1, failed=True)
    assert celeriac("workflow", "resume", flow).out == "1 step will be tried again.\n"
    assert [one["state"] for one in celeriac.json("workflow", "show", flow)["steps"]][:2] == ["PENDING", "PENDING"]
    assert celeriac("workflow", "revoke", flow).out == "4 steps revoked.\n"
    assert {one["state"] for one in celeriac.json("workflow", "show", flow, code=1)["steps"]} == {"REVOKED"}
    assert celeriac("workflow", "forget", flow).out == "Forgotten.\n"
    for command in ("show", "resume", "revoke", "forget"):
        assert f"there is no workflow {flow}" in celeriac("workflow", command, flow, code=1).err.replace("\n", " ")
