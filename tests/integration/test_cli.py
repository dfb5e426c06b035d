"""The command line as people use it: real processes, a real worker on SQLite, from the banner to the exit code."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from celeriac.core.message import Message
from tests.support.site import PATIENCE, TASKS, Site
from tests.support.waiting import wait_for


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A project of its own, without a worker."""
    found = Site(tmp_path)
    yield found
    found.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project with a worker, shared by the tests that leave it as they found it."""
    found = Site(tmp_path_factory.mktemp("served"))
    found.worker("main", "-l", "INFO", "-c", "2", "--health-port", "0")
    yield found
    found.close()


# With a worker.


def test_the_banner_shows_what_people_look_for(served: Site) -> None:
    wait_for(lambda: "main@test ready." in served.log("main"), PATIENCE, "every child to be ready")
    log = served.log("main")
    for expected in (
        "main@test",
        "app:         proj (proj.tasks)",
        "broker:      sqlite:///q.db",
        "results:     sqlite:///q.db",
        "concurrency: 2 processes of one task at a time, 100 coroutines each (prefork)",
        "[queues]\n   celery\n",
        "[tasks]\n   proj.tasks.add\n   proj.tasks.fail\n   proj.tasks.hold\n   proj.tasks.pass_gate\n",
    ):
        assert expected in log, log
    assert "\x1b" not in log


def test_the_health_probe_answers_at_the_port_that_the_banner_names(served: Site) -> None:
    url = re.search(r"health: +(http\S+)", served.log("main"))
    assert url is not None
    with urllib.request.urlopen(url[1], timeout=PATIENCE) as answer:
        assert answer.status == 200
        assert json.load(answer)["ok"] is True


def test_call_waits_for_the_result(served: Site) -> None:
    done = served.run("call", "proj.tasks.add", "-a", "[1]", "-k", '{"y": 2}', "--wait", "-t", "20")
    assert done.out == "3\n"
    task_id = done.err.strip()
    assert f"Task proj.tasks.add[{task_id}] received" in served.log("main")
    assert re.search(rf"Task proj\.tasks\.add\[{task_id}\] succeeded in [\d.]+s: 3", served.log("main"))
    shown = served.json("result", task_id)
    assert (shown["state"], shown["result"]) == ("SUCCESS", 3)


def test_a_failure_is_shown_and_is_the_exit_code(served: Site) -> None:
    done = served.run("call", "proj.tasks.fail", "-a", '["no luck"]', "--wait", "-t", "20", code=1)
    assert "FAILURE" in done.out
    assert "ValueError('no luck')" in done.out
    traced = served.run("result", done.err.strip(), "--traceback", code=1)
    assert "raise ValueError(text)" in traced.out
    assert "raise ValueError(text)" in served.log("main")


def test_status_shows_workers_queues_and_counts(served: Site) -> None:
    served.run("call", "proj.tasks.add", "-a", "[1]", "--wait", "-t", "20")
    shown = served.json("status")
    info = shown["workers"]["main@test"]
    assert info["queues"] == ["celery"]
    assert info["pool"] == "prefork"
    assert len(info["children"]) == 2
    assert shown["tasks"]["proj.tasks.add"]["SUCCESS"] >= 1
    text = served.run("status").out
    assert re.search(r"main@test +online +prefork +2 ", text), text
    assert "proj.tasks.add" in text
    assert served.run("status", "-d", "nobody@test", code=69).err.startswith("Error: no worker is online")


def test_inspect_sees_a_running_task_and_revoke_ends_it(served: Site) -> None:
    task_id = served.run("call", "proj.tasks.hold", "-a", '["held"]').out.strip()
    wait_for((served.folder / "held.started").exists, PATIENCE, "the task to run")
    (running,) = served.json("inspect", "active")["main@test"]
    assert (running["id"], running["name"]) == (task_id, "proj.tasks.hold")
    assert "held" in running["args"]
    assert task_id in served.run("inspect", "active").out
    assert served.run("revoke", task_id).out.startswith(f"{task_id}  runs on main@test")
    served.run("control", "revoke", task_id, "--terminate", "-s", "KILL")
    done = served.run("result", task_id, "--wait", "--timeout", "20", code=1)
    assert "REVOKED" in done.out


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("registered", ["proj.tasks.add", "proj.tasks.fail", "proj.tasks.hold", "proj.tasks.pass_gate"]),
        ("reserved", []),
        ("active_queues", [{"name": "celery"}]),
        ("ping", {"ok": "pong"}),
        (
            "conf",
            {
                "broker_url": "sqlite:///q.db",
                "redis_password": "***",
                "result_backend": "sqlite:///q.db",
                "worker_shutdown_grace": 5.0,
            },
        ),
    ],
)
def test_inspect_asks_workers(served: Site, question: str, expected: object) -> None:
    assert served.json("inspect", question, "-d", "main@test") == {"main@test": expected}


def test_inspect_scheduled_shows_what_waits_in_the_broker(served: Site) -> None:
    task_id = served.run("call", "proj.tasks.add", "--countdown", "3600").out.strip()
    (waiting,) = served.json("inspect", "scheduled")["broker"]
    assert waiting["request"]["id"] == task_id
    assert served.run("revoke", task_id).out == f"{task_id}  revoked: it will not run\n"
    assert served.json("inspect", "scheduled") == {"broker": []}


def test_inspect_says_when_nobody_answers(served: Site) -> None:
    done = served.run("inspect", "ping", "-d", "nobody@test", "-t", "0.1", code=69)
    assert "no worker answered within 0.1 s" in done.err


def test_pool_grows_and_shrinks(served: Site) -> None:
    def lines(what: str) -> int:
        return len(re.findall(rf"child .* {what}", served.log("main")))

    started, ended = lines("started"), lines("ended")
    assert "OK pool will grow by 1" in served.run("control", "pool_grow").out
    wait_for(lambda: lines("started") == started + 1, PATIENCE, "a third process")
    assert len(served.json("inspect", "stats")["main@test"]["pool"]["processes"]) == 3
    assert "OK pool will shrink by 1" in served.run("control", "pool_shrink", "1").out
    wait_for(lambda: lines("ended") == ended + 1, PATIENCE, "two processes again")


def test_dead_letters_are_listed_shown_retried_and_purged(served: Site) -> None:
    first = served.run("call", "proj.tasks.pass_gate", "-a", '["gate"]').out.strip()
    second = served.run("call", "proj.tasks.pass_gate", "-a", '["wall"]').out.strip()
    wait_for(lambda: sum(queue.dead for queue in served.broker.stats()) == 2, PATIENCE, "two dead letters")
    listed = served.run("dlq", "list").out
    assert "the gate gate is closed" in listed
    assert first in listed
    shown = served.json("dlq", "show", first)
    assert (shown["task"], shown["args"]) == ("proj.tasks.pass_gate", "('gate',)")
    served.write("gate", "")
    assert served.run("dlq", "retry", first).out == "1 dead letter put back.\n"
    done = served.run("result", first, "--wait", "--timeout", "20")
    assert "'passed'" in done.out
    assert served.run("dlq", "purge", "-f").out == "Dropped 1 dead letter.\n"
    assert served.run("dlq", "list").out == "There are no dead letters.\n"
    assert "the broker has no task" in served.run("dlq", "show", second, code=1).err


# A worker's life.


def test_term_lets_a_task_finish_and_ends_with_zero(site: Site) -> None:
    worker = site.worker("ends", "-l", "INFO", "-c", "1", "--pidfile", "worker.pid")
    assert int((site.folder / "worker.pid").read_text()) == worker.pid
    refused = site.run("worker", "--pidfile", "worker.pid", code=2)
    assert f"names process {worker.pid}, which lives" in refused.err
    family = psutil.Process(worker.pid).children(recursive=True)
    task_id = site.run("call", "proj.tasks.hold", "-a", '["last"]').out.strip()
    wait_for((site.folder / "last.started").exists, PATIENCE, "the task to run")
    worker.terminate()
    wait_for(lambda: "received SIGTERM" in site.log("ends"), PATIENCE, "the shutdown to begin")
    site.write("last.go", "")
    assert worker.wait(PATIENCE) == 0, site.log("ends")
    assert site.json("result", task_id)["state"] == "SUCCESS"
    assert not (site.folder / "worker.pid").exists()
    wait_for(lambda: not any(_lives(one) for one in family), PATIENCE, "every process to end")


@pytest.mark.parametrize("pool", ["threads", "asyncio", "solo"])
def test_every_pool_runs_tasks(site: Site, pool: str) -> None:
    worker = site.worker(pool, "-P", pool)
    assert site.run("call", "proj.tasks.add", "-a", "[20, 3]", "--wait", "-t", "20").out == "23\n"
    worker.terminate()
    assert worker.wait(PATIENCE) == 0, site.log(pool)


def test_options_travel_to_the_children(site: Site) -> None:
    site.write("proj/more.py", "from proj.tasks import app\n"
               "@app.task(name='limit', rate_limit='5/m')\ndef limit():\n"
               "    import time\n    time.sleep(30)\n")  # fmt: skip
    other = "sqlite:///other.db"
    words = ("-b", other, "--result-backend", other)
    site.start(*words, "worker", "-I", "proj.more", "-c", "1", "--soft-time-limit", "0.2", "-Q", "a,b", "-X", "b",
               "--without-gossip", "-O", "fair", log="travel.log")  # fmt: skip
    done = site.run(*words, "call", "limit", "--queue", "a", "--wait", "-t", "20", code=1)
    assert "SoftTimeLimitExceeded" in done.out
    log = site.log("travel")
    assert "broker:      sqlite:///other.db" in log
    assert "limits:      soft 0.2 s" in log
    assert "[queues]\n   a\n\n" in log
    assert "Note: --without-gossip has no effect: workers do not gossip." in log
    assert "Note: rate_limit has no effect yet: limit will run as fast as" in log
    assert not (site.folder / "q.db").exists()


def test_remote_shutdown_ends_the_worker(site: Site) -> None:
    worker = site.worker("remote", "-c", "1")
    assert "-> remote@test: OK shutting down" in site.run("control", "shutdown").out
    assert worker.wait(PATIENCE) == 0
    site.run("status", code=69)


@pytest.mark.slow
def test_reload_starts_anew_after_a_change_and_leaves_nothing(site: Site) -> None:
    words = ("--reload", "-l", "INFO", "-c", "1", "--pidfile", "outer.pid")
    outer = site.worker("reload", *words)
    assert int((site.folder / "outer.pid").read_text()) == outer.pid
    assert site.run("call", "proj.tasks.add", "-a", "[1, 1]", "--wait", "-t", "20").out == "2\n"
    site.write("proj/tasks.py", TASKS.replace("return x + y", "return x + y + 100"))
    wait_for(lambda: site.log("reload").count("reload@test ready.") == 2, PATIENCE, "the second start")
    assert "proj/tasks.py changed" in site.log("reload")
    assert site.run("call", "proj.tasks.add", "-a", "[1, 1]", "--wait", "-t", "20").out == "102\n"
    site.write("proj/tasks.py", "this is no Python")
    wait_for(lambda: "waiting for a change" in site.log("reload"), PATIENCE, "the failed start")
    site.write("proj/tasks.py", TASKS)
    wait_for(lambda: site.log("reload").count("reload@test ready.") == 3, PATIENCE, "the third start")
    family = psutil.Process(outer.pid).children(recursive=True)
    assert len(family) >= 2
    outer.terminate()
    assert outer.wait(PATIENCE) == 0, site.log("reload")
    wait_for(lambda: not any(_lives(one) for one in family), PATIENCE, "every process to end")
    assert not (site.folder / "outer.pid").exists()


def test_reload_killed_takes_its_worker_with_it(site: Site) -> None:
    outer = site.worker("orphan", "--reload", "-c", "1")
    family = psutil.Process(outer.pid).children(recursive=True)
    outer.kill()
    outer.wait(PATIENCE)
    wait_for(lambda: not any(_lives(one) for one in family), PATIENCE, "every process to end")


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


# Without a worker.


def test_purge_asks_and_drops(site: Site) -> None:
    site.broker.install()
    waiting = [("a", "celery", None), ("b", "celery", time.time() + 3600), ("c", "celery", None), ("d", "other", None)]
    site.broker.enqueue([Message(id=id, task="proj.tasks.add", queue=queue, eta=eta) for id, queue, eta in waiting])
    refused = site.run("purge", input="n\n", code=1)
    assert "Drop 3 waiting tasks of celery for good?" in refused.err
    assert "Nothing was dropped." in refused.err
    done = site.run("purge", "-f")
    assert done.out == "Dropped 3 waiting tasks of celery.\n"
    assert "tasks also wait in other" in done.err
    assert [one.queue for one in site.broker.stats()] == ["other"]
    assert site.run("purge", "-Q", "other", input="y\n").out == "Dropped 1 waiting task of other.\n"
    assert site.run("queues").out == "All queues are empty.\n"


def test_the_environment_names_the_app(site: Site) -> None:
    for variable in ("CELERIAC_APP", "CELERY_APP"):
        assert "proj.tasks" in site.run("report", app=None, env={**site.env, variable: "proj.tasks"}).out
    env = {**site.env, "CELERIAC_APP": "proj.tasks", "CELERIAC_WORKER_AUTOSCALE": "none"}
    assert "'none' is not MAX,MIN" in site.run("worker", app=None, env=env, code=2).err


def test_workdir_is_where_the_project_is(site: Site) -> None:
    elsewhere = site.folder / "elsewhere"
    elsewhere.mkdir()
    shown = site.run("--workdir", str(site.folder), "-A", "proj.tasks", "queues", app=None, cwd=elsewhere)
    assert shown.out == "All queues are empty.\n"
    assert (site.folder / "q.db").exists()


def test_help_and_version_need_no_app(site: Site) -> None:
    shown = site.run("--help", app=None).out
    for command in ("worker", "call", "result", "status", "inspect", "control", "purge", "dlq", "report", "shell"):
        assert re.search(rf"^  {command} ", shown, re.MULTILINE)
    assert "--max-tasks-per-child" in site.run("worker", "--help", app=None).out
    assert re.fullmatch(r"\d+\.\d+\.\d+ \(celeriac\)\n", site.run("--version", app=None).out)


def test_shell_knows_the_app_and_its_tasks(site: Site) -> None:
    done = site.run("shell", "--python", input="print(app.main, add(2, 3), sorted(tasks.regular())[0])\n")
    assert "proj 5 proj.tasks.add" in done.out


def test_a_reader_that_has_had_enough_is_no_error(site: Site) -> None:
    command = f"{sys.executable} -m celeriac -A proj.tasks report | head -n 1"
    done = subprocess.run(
        command, shell=True, cwd=site.folder, env=site.env, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout == "[software]\n"
    assert done.stderr == ""


def test_colour_is_for_terminals_that_want_it(site: Site) -> None:
    site.run("call", "proj.tasks.add")
    command = [sys.executable, "-m", "celeriac", "-A", "proj.tasks"]
    env = {**site.env, "TERM": "xterm-256color"}
    assert "\x1b[" in _in_terminal([*command, "queues"], site, env)
    assert "\x1b[" not in _in_terminal([*command, "-C", "queues"], site, env)
    assert "\x1b[" not in _in_terminal([*command, "queues"], site, {**env, "NO_COLOR": "1"})


def _in_terminal(command: list[str], site: Site, env: dict[str, str]) -> str:
    """Return what a command writes to a terminal."""
    ours, theirs = os.openpty()
    with subprocess.Popen(command, cwd=site.folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        text = b""
        until = time.monotonic() + PATIENCE
        with contextlib.suppress(OSError):  # Linux says so when the other end is closed.
            while time.monotonic() < until and (part := os.read(ours, 10000)):
                text += part
        os.close(ours)
        assert process.wait(PATIENCE) == 0, text
    return text.decode()


def test_debug_shows_the_traceback(site: Site) -> None:
    site.write("broken.py", "from celeriac import Celeriac\napp = Celeriac()\n1 / 0\n")
    done = site.run("worker", "-l", "DEBUG", app="broken", code=2)
    assert "Traceback" in done.err
    assert done.err.rstrip().splitlines()[-1].startswith("Error: -A broken: importing 'broken' failed")
