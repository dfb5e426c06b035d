"""Passwords and keys are nowhere but where they belong: not in output, logs, errors, representations, process titles.

Every secret here holds a mark, and everything that anybody can see is searched for it.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from celeriac import Celeriac, brokers, results
from celeriac.errors import CeleriacError
from tests.support.fleet import Worker
from tests.support.servers import RedisServer

MARK = "HUNTERxMARKx2"
KEY = base64.urlsafe_b64encode(f"{MARK}-signing-key-of-32-bytes-long".encode()).decode()
CIPHER_KEY = base64.urlsafe_b64encode(f"{MARK}-cipher-key-32-bytes"[:32].ljust(32, "x").encode()).decode()
SECRETS = (MARK, KEY[:16], CIPHER_KEY[:16])

MODULE = """
import os
from celeriac import Celeriac

app = Celeriac("guarded", broker={broker!r}, backend={backend!r})
app.conf.update(
    security_signing_keys={{"a": {key!r}, "b": "env:GUARDED_KEY", "c": "file:{file}"}},
    security_encryption_keys={{"a": {cipher!r}}},
    redis_password={mark!r},
    broker_transport_options={{"password": {mark!r}, "sentinel_kwargs": {{"password": {mark!r}}}}},
    my_secret_token={mark!r},
)


@app.task(name="work")
def work(password):
    raise ValueError("it failed")
"""
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("report",),
    ("report", "--json"),
    ("status",),
    ("status", "--json"),
    ("queues",),
    ("doctor",),
    ("doctor", "--json"),
    ("inspect", "conf"),
    ("inspect", "stats"),
    ("inspect", "active"),
    ("dlq", "list"),
    ("call", "work", "-k", f'{{"password": "{MARK}"}}'),
    ("result", "no-such-id"),
    ("db", "check"),
    ("purge", "-f"),
)


def check(where: str, text: str) -> None:
    """Pass if no secret is in the text."""
    for secret in SECRETS:
        if secret in text:
            place = text.index(secret)
            raise AssertionError(f"{where} shows a secret: ...{text[max(0, place - 200) : place + 100]}...")


class Site:
    """A project with secrets in its settings."""

    def __init__(self, folder: Path, broker: str, backend: str) -> None:
        self.folder = folder
        self.module = "guarded_project"
        self.workers: list[Worker] = []
        file = folder / "key"
        file.write_text(KEY)
        file.chmod(0o600)
        source = MODULE.format(broker=broker, backend=backend, key=KEY, cipher=CIPHER_KEY, file=file, mark=MARK)
        (folder / f"{self.module}.py").write_text(source)
        self.environment = {**os.environ, "GUARDED_KEY": KEY, "PYTHONWARNINGS": "ignore"}

    def run(self, *command: str, timeout: float = 40.0) -> str:
        """Run a command; return all that it wrote."""
        done = subprocess.run(
            [sys.executable, "-m", "celeriac", "-A", self.module, *command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        return done.stdout


def look_at_everything(
    site: Site, monkeypatch: pytest.MonkeyPatch, commands: tuple[tuple[str, ...], ...] = COMMANDS
) -> None:
    """Run a worker and these commands, and search all there is to see."""
    monkeypatch.setenv("GUARDED_KEY", KEY)
    worker = Worker(site, "w", ("-c", "1", "-l", "DEBUG"), "w@test", {})  # type: ignore[arg-type]
    try:
        worker.wait_ready()
        for command in commands:
            check(f"celeriac {' '.join(command[:2])}", site.run(*command))
        worker.wait_log("it failed")
        tree = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        assert len(tree) >= 2
        for process in tree:
            check(f"the title of process {process.pid}", " ".join([process.name(), *process.cmdline()]))
        for child in worker.children():
            psutil.Process(child).kill()
        worker.wait_log("SIGKILL")
        worker.stop()
    finally:
        worker.destroy()
    check("the worker's log", worker.log())


@pytest.mark.timeout(150)
@pytest.mark.slow
def test_nothing_shows_a_secret_on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/q.db"
    look_at_everything(Site(tmp_path, url, url), monkeypatch)
    check("the file", (tmp_path / "q.db").read_bytes().decode("latin-1"))


WRONG = (
    f"nosuch://user:{MARK}@host/0",
    f"redis://user:{MARK}@127.0.0.1:1/0",
    f"redis://user:{MARK}@127.0.0.1:notaport/0",
    f"redis://:{MARK}@127.0.0.1:1/0?nosuch=1",
    f"rediss://:{MARK}@127.0.0.1:1/0?ssl_cert_reqs=nonsense",
    f"redis://127.0.0.1:1/0?password={MARK}",
    f"sentinel://:{MARK}@127.0.0.1:1;sentinel://:{MARK}@127.0.0.1:2/0?master_name=m",
    f"sqlite:///x.db?password={MARK}",
    f"sqlite://user:{MARK}@host/x.db",
    f"memory://x?password={MARK}",
    f"amqp://user:{MARK}@host//",
    f"postgresql://user:{MARK}@host/db",
    f"user:{MARK}@host",
    f"://user:{MARK}@host",
)


def shown(exc: BaseException) -> str:
    """Return all that a program may write of an exception."""
    chain: list[BaseException] = []
    rest: BaseException | None = exc
    while rest is not None:
        chain.append(rest)
        rest = rest.__cause__ or rest.__context__
    lines = "".join(traceback.format_exception(exc))
    return lines + "".join(f"{one!r} {one} {one.args!r}" for one in chain)


def attempts(url: str) -> Iterator[tuple[str, Any]]:
    """Yield what a program may do with a URL, by name."""

    def use(broker: str, backend: str | None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            app = Celeriac("wrong", broker=broker, backend=backend, set_as_current=False, publish_timeout=0.3)
            try:
                check("repr", f"{app!r} {app.conf!r} {app.conf.humanize()} {app._connections!r}")
                app.send_task("x", retry=False)
                app.AsyncResult("x").ready()
            finally:
                app.close()

    yield "as broker", lambda: use(url, None)
    yield "as backend", lambda: use("memory://right", url)
    yield "connect", lambda: check("driver", repr(brokers.connect(url)))
    yield "results", lambda: check("store", repr(results.connect(url)))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("url", WRONG, ids=lambda url: url.replace(MARK, "MARK"))
def test_no_error_about_a_url_shows_its_password(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, attempt in attempts(url):
        try:
            attempt()
        except CeleriacError as exc:
            check(f"the error ({name})", shown(exc))


@pytest.mark.parametrize(
    "value", [MARK.encode(), {"url": MARK}, f"redis://:{MARK}@h".encode(), [7, f"redis://:{MARK}@h"]]
)
@pytest.mark.parametrize("setting", ["broker_url", "result_backend", "security_signing_keys"])
def test_no_error_about_a_setting_shows_a_password(setting: str, value: object) -> None:
    with pytest.raises(CeleriacError, match=setting) as caught:
        _ = Celeriac("wrong", set_as_current=False, changes={setting: value}).guard
    check("the error", shown(caught.value))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("url", WRONG[:9:4], ids=lambda url: url.replace(MARK, "MARK"))
def test_no_command_shows_a_wrong_url(url: str, tmp_path: Path) -> None:
    site = Site(tmp_path, url, url)
    for command in (("report",), ("worker", "-c", "1"), ("status",)):
        check(f"celeriac {command[0]}", site.run(*command))


@pytest.mark.timeout(200)
@pytest.mark.slow
def test_nothing_shows_a_secret_on_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer(password=MARK) as server:
        commands = tuple(one for one in COMMANDS if one[0] in ("report", "doctor", "call") or one[-1] == "conf")
        look_at_everything(Site(tmp_path, server.url, server.url), monkeypatch, commands)
