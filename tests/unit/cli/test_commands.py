"""Commands without a worker, in the test's process and on a real store: what they say about good input and bad."""

from __future__ import annotations

import json
import re
import socket
from typing import Final

import pytest

from tests.unit.cli.conftest import Celeriac

SECRET: Final = "hunter2"


def test_call_takes_every_option(celeriac: Celeriac) -> None:
    eta = "2030-01-01T00:00:00+00:00"
    words = ("--eta", eta, "--expires", "2031-01-01", "--priority", "7", "--queue", "q", "--task-id", "mine")
    assert celeriac("call", "proj.tasks.add", "-a", "[1]", *words).out == "mine\n"
    (waiting,) = celeriac.json("inspect", "scheduled")["broker"]
    assert waiting["priority"] == 7
    assert waiting["request"]["delivery_info"] == {"routing_key": "q"}
    assert waiting["eta"].startswith("2030-01-01T00:00:00")
    unknown = celeriac("call", "proj.tasks.ad").err.replace("\n", " ")
    assert "is not a task of proj.tasks" in unknown
    assert "Did you mean 'proj.tasks.add'?" in unknown
    assert json.loads(celeriac("call", "proj.tasks.add", "-a", "[1]", "-j").out).keys() == {"id"}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("-a", "1,2"), "'1,2' is not JSON"),
        (("-a", "{}"), "'{}' must be a list"),
        (("-k", "[]"), "'[]' must be an object"),
        (("-a", "[1,2,3]"), "proj.tasks.add"),
        (("--eta", "tomorrow"), "'tomorrow' is no moment"),
        (("--priority", "10"), "--priority"),
        (("--countdown", "1", "--eta", "2030-01-01"), "countdown and eta"),
    ],
)
def test_call_refuses_bad_input(celeriac: Celeriac, words: tuple[str, ...], complaint: str) -> None:
    done = celeriac("call", "proj.tasks.add", *words, code=None)
    assert done.code in (1, 2), done
    assert complaint in done.err


@pytest.mark.parametrize(
    ("app", "words", "code", "complaint"),
    [
        ("nothing_there", ("worker",), 2, "Error: -A nothing_there: there is no module 'nothing_there'"),
        ("proj.tasks:nope", ("worker",), 2, "has no 'nope'; its apps are app"),
        ("proj", ("worker",), 2, "has no Celeriac app"),
        ("proj/tasks.py", ("worker",), 2, "is not the name of an app: give a module"),
        ("proj.py", ("worker",), 2, "A module is named without .py: -A proj"),
        ("broken", ("worker",), 2, "importing 'broken' failed: ZeroDivisionError: division by zero"),
        ("settings", ("worker",), 2, "setting worker_concurrency = -1"),
        ("included", ("worker",), 2, "importing the tasks failed: ModuleNotFoundError: No module named 'no_such'"),
        (None, ("worker",), 2, "which app? Give -A before the command"),
        (None, ("status",), 2, "which app? Give -A before the command"),
        ("proj.tasks", ("-b", f"kafka://u:{SECRET}@h/", "worker"), 2, "unknown scheme"),
        ("proj.tasks", ("-b", f"redis://u:{SECRET}@h/x", "worker"), 2, "must be a number"),
        ("impatient", ("-b", f"redis://u:{SECRET}@127.0.0.1:1/0", "worker"), 1, "redis://127.0.0.1:1"),
        ("proj.tasks", ("-b", "sqlite:///no/such/folder/q.db", "worker"), 2, "no/such/folder"),
        ("proj.tasks", ("-b", "sqlite:///damaged.db", "worker"), 1, "damaged.db"),
        ("proj.tasks", ("-b", "memory://", "worker"), 2, "use -P solo, or a store that processes share"),
        ("proj.tasks", ("worker", "-P", "gevent"), 2, "choose one of prefork, threads, asyncio, solo"),
        ("proj.tasks", ("beat", "--detach"), 2, "a service manager can watch it"),
        ("proj.tasks", ("beat", "-f", "no/such/log"), 2, "--logfile 'no/such/log' cannot be written: No such file"),
        ("proj.tasks", ("beat", "--pidfile", "no/such/pid"), 2, "--pidfile 'no/such/pid' cannot be written"),
        ("proj.tasks", ("beat", "--health-file", "no/such/f"), 2, "--health-file 'no/such/f' cannot be written: No"),
        ("proj.tasks", ("beat", "-l", "LOUD"), 2, "Invalid value for '-l' / '--loglevel': 'LOUD'"),
        ("proj.tasks", ("-b", "memory://", "beat"), 2, "no worker would see what this one sends"),
        ("proj.tasks", ("worker", "--detach"), 2, "a worker stays in the foreground"),
        ("proj.tasks", ("worker", "--autoscale", "many"), 2, "'many' is not MAX,MIN"),
        ("proj.tasks", ("worker", "--autoscale", "4,0"), 2, "--autoscale 4,0"),
        ("proj.tasks", ("worker", "-n", "a b"), 2, "must not contain blanks"),
        ("proj.tasks", ("worker", "-X", "celery"), 2, "leaves no queue to work on"),
        ("proj.tasks", ("worker", "-f", "no/such/folder/log"), 2, "--logfile 'no/such/folder/log' cannot be written"),
        ("proj.tasks", ("worker", "-f", "%I.log"), 2, "there is no file for each child process"),
        ("proj.tasks", ("worker", "--pidfile", "no/such/pid"), 2, "--pidfile 'no/such/pid' cannot be written"),
        ("proj.tasks", ("worker", "-A", "proj"), 2, "-A belongs before the command"),
        ("proj.tasks", ("workers",), 2, "There is no command 'workers'. Did you mean 'worker'?"),
        ("proj.tasks", ("worker", "--time-limit", "1", "--soft-time-limit", "2"), 2, "must be shorter than"),
        ("format", ("worker",), 2, "setting worker_log_format = 'no message'"),
        ("proj.tasks", ("multi", "start", "w1", "-c3"), 2, "write a systemd unit"),
        ("proj.tasks", ("flower", "--port=5555"), 2, "later version"),
        ("proj.tasks", ("dlq", "retry"), 2, "or say --all"),
        ("proj.tasks", ("control", "pool_grow", "x"), 2, "pool_grow [N], with a whole number"),
    ],
)
def test_mistakes_get_one_clear_sentence(
    celeriac: Celeriac, app: str | None, words: tuple[str, ...], code: int, complaint: str
) -> None:
    make = "from celeriac import Celeriac\n"
    celeriac.write(broken=make + "app = Celeriac()\n1 / 0\n")
    celeriac.write(settings=make + "app = Celeriac(worker_concurrency=-1)\n")
    celeriac.write(format=make + "app = Celeriac(broker='sqlite:///q.db', worker_log_format='no message')\n")
    celeriac.write(impatient=make + "app = Celeriac(broker_connection_retry=False)\n")
    celeriac.write(included=make + "app = Celeriac(include=['no_such'])\n")
    (celeriac.folder / "damaged.db").write_bytes(b"This is no database. " * 500)
    done = celeriac(*words, code=code, app=app)
    assert complaint in done.err.replace("\n", " "), done
    assert SECRET not in done.out + done.err


def test_a_port_that_is_taken_is_named_by_its_flag(celeriac: Celeriac) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = celeriac("beat", "--health-port", str(port), code=2)
    assert f"Error: --health-port {port} cannot be used: Address already in use" in done.err


def test_no_password_is_ever_shown(celeriac: Celeriac) -> None:
    url = f"sqlite:///q.db?password={SECRET}"
    celeriac.write(secret="from celeriac import Celeriac\n"
               f"app = Celeriac('secret', broker='redis://u:{SECRET}@h/0', redis_password='{SECRET}')\n"
               "app.conf.broker_connection_retry = False\n")  # fmt: skip
    for words in (("report",), ("report", "-j"), ("status",), ("worker",), ("worker", "-l", "DEBUG"), ("db", "verify")):
        done = celeriac(*words, app="secret", code=None)
        assert SECRET not in done.out + done.err, (words, done)
    assert SECRET not in repr(celeriac("-b", url, "status", code=None))
    assert "redis://u:***@h/0" in celeriac("report", app="secret").out


def test_report_names_versions_and_settings(celeriac: Celeriac) -> None:
    shown = json.loads(celeriac("report", "-j").out)
    assert shown["software"]["celeriac"]
    assert shown["broker"] == "sqlite:///q.db"
    assert shown["settings"]["worker_shutdown_grace"] == 5
    assert "[software]" in celeriac("report").out


def test_db_is_upgraded_and_verified(celeriac: Celeriac) -> None:
    assert celeriac("db", "verify", code=1).err.startswith("Error: ")
    assert re.search(r"sqlite:///q\.db is at version \d+", celeriac("db", "upgrade").out)
    assert "is complete and at version" in celeriac("db", "verify").out


def test_a_broker_can_be_looked_at_without_an_app(celeriac: Celeriac) -> None:
    celeriac("call", "proj.tasks.add")
    (queue,) = json.loads(celeriac("-b", "sqlite:///q.db", "queues", "-j", app=None).out)
    assert (queue["queue"], queue["ready"]) == ("celery", 1)
