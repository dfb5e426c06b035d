"""Lines of tasks that gather: what is written, when, in which order, and where each goes the usual way instead."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from celeriac.events import Bus, TaskDead, TaskReceived, TaskSucceeded
from celeriac.events import log as event_log
from celeriac.events.lines import Gathering, GatheringFile, frames

FORM = "%(levelname)s/%(processName)s %(message)s."


class Log:
    """A root logger with one handler that gathers."""

    def __init__(self, form: str = FORM) -> None:
        self.stream = io.StringIO()
        self.handler = Gathering(self.stream, own=logging.Formatter(form), form=form)
        logging.root.handlers[:] = [self.handler]
        self.bus = Bus()
        event_log.subscribe(self.bus, gather=True)

    def received(self, id: str = "1") -> None:
        self.bus.emit(TaskReceived(id, "work"))

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture(autouse=True)
def bare_logging() -> Iterator[None]:
    """Take away what pytest adds to the root logger, and put it back."""
    root, task = logging.root, logging.getLogger("celeriac.task")
    handlers, level, own = root.handlers[:], root.level, task.level
    task.setLevel(logging.INFO)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    task.setLevel(own)


def test_lines_wait_for_a_flush_and_are_what_the_library_would_write() -> None:
    log = Log()
    log.received()
    log.bus.emit(TaskSucceeded("1", "work", 0.25, None))
    log.bus.emit(TaskSucceeded("2", "work", 0.5, {"a": [1]}))
    assert log.lines == []
    log.bus.flush()
    assert log.lines == [
        "INFO/MainProcess Task work[1] received.",
        "INFO/MainProcess Task work[1] succeeded in 0.250000s: None.",
        "INFO/MainProcess Task work[2] succeeded in 0.500000s: {'a': [1]}.",
    ]


def test_any_other_line_writes_first_what_waits() -> None:
    log = Log()
    log.received("1")
    log.bus.emit(TaskDead("2", "work", "so"))
    log.received("3")
    logging.getLogger("project").error("mine")
    assert [line.split(" ", 1)[1] for line in log.lines] == [
        "Task work[1] received.",
        "Task work[2] is a dead letter now: so.",
        "Task work[3] received.",
        "mine.",
    ]


def test_a_handler_that_ends_writes_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "log"
    handler = GatheringFile(path, own=logging.Formatter(FORM), form=FORM)
    logging.root.handlers[:] = [handler]
    bus = Bus()
    event_log.subscribe(bus, gather=True)
    bus.emit(TaskReceived("1", "work"))
    handler.close()
    assert path.read_text() == "INFO/MainProcess Task work[1] received.\n"


def factory(*args: object, **kwargs: object) -> logging.LogRecord:
    return logging.LogRecord(*args, **kwargs)  # type: ignore[arg-type]


def with_filter(log: Log) -> None:
    log.handler.addFilter(lambda record: True)


def with_formatter(log: Log) -> None:
    log.handler.setFormatter(logging.Formatter("%(message)s"))


def with_second_handler(log: Log) -> None:
    logging.root.addHandler(logging.NullHandler())


def with_record_factory(log: Log) -> None:
    logging.setLogRecordFactory(factory)


@pytest.mark.parametrize("change", [with_filter, with_formatter, with_second_handler, with_record_factory])
def test_where_somebody_else_could_see_the_lines_each_goes_the_usual_way(change: Callable[[Log], None]) -> None:
    log = Log()
    change(log)
    try:
        log.received()
        assert len(log.lines) == 1
    finally:
        logging.setLogRecordFactory(logging.LogRecord)


def test_handlers_of_a_logger_of_ours_get_records() -> None:
    log = Log()
    task = logging.getLogger("celeriac.task")
    own = logging.StreamHandler(io.StringIO())
    task.addHandler(own)
    try:
        log.received()
        assert len(log.lines) == 1
        assert own.stream.getvalue() == "Task work[1] received\n"
    finally:
        task.removeHandler(own)


def test_a_format_that_tells_more_than_message_and_time_is_left_to_the_library() -> None:
    log = Log("%(threadName)s %(message)s")
    log.received()
    assert log.lines == ["MainThread Task work[1] received"]
    assert frames(FORM)
    assert not frames("%(message)-80s")
    assert not frames("%(message)s %(message)s")
    assert not frames("%(funcName)s %(message)s")


def test_what_is_written_at_once_fits_a_pipe_whole() -> None:
    log = Log()
    chunks: list[str] = []
    log.handler.setStream(_Recorder(chunks))
    for number in range(300):
        log.received(f"größe-{number}")
    log.bus.flush()
    assert len(chunks) > 1
    assert max(len(chunk.encode()) for chunk in chunks) <= 4096
    assert all(chunk.endswith(".\n") for chunk in chunks)
    assert "".join(chunks).count("\n") == 300


class _Recorder(io.StringIO):
    """Notes what is written at once."""

    def __init__(self, chunks: list[str]) -> None:
        super().__init__()
        self._chunks = chunks

    def write(self, text: str) -> int:
        """Note a text."""
        self._chunks.append(text)
        return len(text)
