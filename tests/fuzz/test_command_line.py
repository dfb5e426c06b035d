"""What people look at: commands on a store full of hostile bytes show it all, end in order, and obey none of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest

from celeriac.app import state as process
from celeriac.brokers import open_broker
from celeriac.cli.main import main
from celeriac.core.message import Message, Settlement, pack, pack_result
from tests.fuzz.mutations import TEXTS, hostile
from tests.fuzz.oracle import limited, watched
from tests.fuzz.readers import MESSAGES, RESULTS, WORKERS
from tests.fuzz.vandal import SqliteVandal
from tests.support.fleet import seeded

COUNT = 60
CODES = (0, 1, 2, 69)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    # Commands that are given -b tell their children by the environment; monkeypatch puts it back.
    for name in ("CELERIAC_BROKER_URL", "CELERIAC_RESULT_BACKEND"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    path = list(sys.path)
    yield f"sqlite:///{tmp_path}/q.db"
    sys.path[:] = path
    process.set_current(None)
    process.set_default(None)


def fill(url: str, rng: Random) -> None:
    """Fill the store with hostile dead letters, waiting messages, results and records of workers."""
    vandal = SqliteVandal(url)
    odd = [text for text in TEXTS if text and "\0" not in text and len(text) < 200]
    with open_broker(url) as broker:
        ids = [f"dead{n}" for n in range(COUNT)]
        broker.enqueue([Message(id=id, task="t", queue=rng.choice(odd)) for id in ids])
        deliveries = broker.claim(odd, COUNT, "w", 30.0)
        broker.settle([Settlement(lease=one.lease, action="dead", reason=rng.choice(odd)) for one in deliveries])
        waiting = [f"later{n}" for n in range(COUNT)]
        broker.enqueue([Message(id=id, task="t", eta=4e9, queue=rng.choice(odd)) for id in waiting])
        broker.enqueue([Message(id=text, task=text, queue=text) for text in odd])
    spoiled = {id: hostile(rng, pack(msgspec.structs.replace(rng.choice(MESSAGES), id=id))) for id in (*ids, *waiting)}
    vandal.spoil_messages(spoiled)
    results = (msgspec.structs.replace(rng.choice(RESULTS), id=f"result{n}") for n in range(COUNT))
    vandal.put_results({result.id: hostile(rng, pack_result(result)) for result in results})
    vandal.put_workers({f"w{n}": hostile(rng, msgspec.msgpack.encode(rng.choice(WORKERS))) for n in range(COUNT)})


def test_commands_show_hostile_bytes_and_obey_none(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for _, rng in seeded():
        fill(url, rng)
        show(url, "db", "upgrade", capsys=capsys)  # What is imported late is imported.
        for words in (["dlq", "list"], ["status"], ["queues"], ["inspect", "scheduled"], ["doctor"]):
            show(url, *words, capsys=capsys)
            json.loads(show(url, *words, "-j", capsys=capsys))
        for number in range(COUNT):
            show(url, "dlq", "show", f"dead{number}", capsys=capsys)
            json.loads(show(url, "dlq", "show", f"dead{number}", "-j", capsys=capsys))
            show(url, "result", f"result{number}", "--traceback", capsys=capsys)
            show(url, "result", f"result{number}", "-j", capsys=capsys)
        show(url, "dlq", "retry", "--all", capsys=capsys)
        show(url, "purge", "-f", capsys=capsys)


def show(url: str, *words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command, judge it, and return what it wrote."""
    capsys.readouterr()
    with watched() as done, limited():
        code = main(["-b", url, *words])
    written = capsys.readouterr()
    assert code in CODES, (words, code, written)
    bad = [one for one in written.out + written.err if not one.isprintable() and one not in "\n\t "]
    assert not bad, f"{words} wrote {sorted(set(bad))!r}: {written.out[:300]!r} {written.err[:300]!r}"
    deeds = [deed for deed in done if not deed.startswith(("import", "exec", "compile", "marshal"))]
    assert not deeds, (words, deeds)
    return written.out
