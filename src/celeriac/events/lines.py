"""Log lines of tasks that gather and are written together, so that a line for each task costs little.

The standard library makes a record of each line, formats all of it anew, and writes it by itself. Two lines a task cost
more than the task. Here a line is made of the text around the message, which is the same for a whole millisecond, and
waits for the next :meth:`Bus.flush`. Whoever gathers flushes before anybody is told what the lines tell: a success is
in the log before it is settled, so at a crash only lines of runs are missing that will be repeated.

Other lines of the same handler write first what waits, so all stay in order. As soon as anybody else could see or
change these lines (another handler, a filter, a formatter, a record factory), each goes the usual way.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections import deque
from typing import Any, Final

_MESSAGE: Final = "%(message)s"
_CONSTANT: Final = frozenset({"message", "asctime", "levelname", "levelno", "name", "process", "processName"})
"""What a format may name if the text around the message is to be the same for a millisecond."""
_FIELD: Final = re.compile(r"%\((\w+)\)")
_MARK: Final = "\0"
_ATOMIC: Final = 4096
"""Bytes that a pipe takes whole, however many processes write to it."""


def frames(form: str) -> bool:
    """Return whether lines of this format differ in their message and their time only."""
    return form.count(_MESSAGE) == 1 and _MARK not in form and _CONSTANT.issuperset(_FIELD.findall(form))


class Gathering(logging.StreamHandler[Any]):
    """Writes to a stream what gathers, and everything else as the standard library does."""

    def __init__(self, *args: Any, own: logging.Formatter, form: str) -> None:
        """Create a handler.

        Args:
            *args: Of the handler of the standard library.
            own: Its formatter. With another one nothing is gathered.
            form: The format of that.
        """
        super().__init__(*args)
        self.setFormatter(own)
        self._own = own if frames(form) else None
        self._waiting: deque[str] = deque()
        os.register_at_fork(after_in_child=self._waiting.clear)

    def frame(self, logger: logging.Logger) -> tuple[str, str] | None:
        """Return the text before and after a message of this logger's at INFO; None if it must go the usual way."""
        known = self.formatter is not None and self.formatter is self._own
        if not known or self.filters or self.level > logging.INFO or not _nobody_else_sees(logger):
            return None
        record = logging.LogRecord(logger.name, logging.INFO, "", 0, _MARK, None, None)
        before, mark, after = self.format(record).partition(_MARK)
        return (before, after + self.terminator) if mark else None

    def gather(self, line: str) -> None:
        """Keep a whole line until the next flush."""
        self._waiting.append(line)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record after everything that waits."""
        self._write_waiting()
        super().emit(record)

    def flush(self) -> None:
        """Write what waits."""
        self._write_waiting()
        super().flush()

    def _write_waiting(self) -> None:
        if not self._waiting:
            return
        self.acquire()
        try:
            for chunk in self._chunks():
                self.stream.write(chunk)
                super().flush()
        except Exception:
            self.handleError(logging.LogRecord("celeriac", logging.INFO, "", 0, "lines of tasks", None, None))
        finally:
            self.release()

    def _chunks(self) -> list[str]:
        """Take what waits, in pieces that other processes' lines cannot cut in two."""
        waiting, chunks = self._waiting, list[str]()
        room, piece = _ATOMIC, list[str]()
        for _ in range(len(waiting)):
            line = waiting.popleft()
            size = len(line) if line.isascii() else 4 * len(line)
            if size > room and piece:
                chunks.append("".join(piece))
                room, piece = _ATOMIC, []
            room -= size
            piece.append(line)
        chunks.append("".join(piece))
        return chunks


class GatheringFile(Gathering, logging.FileHandler):
    """The same for a file."""


class Lines:
    """Writes lines of one logger at INFO, gathered where that makes no difference to anybody."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._now: tuple[int, Gathering | None, str, str] = (0, None, "", "")

    def info(self, template: str, *args: object) -> None:
        """Log one line, as :meth:`logging.Logger.info` does."""
        moment, handler, before, after = self._now
        now = int(time.time() * 1000)
        if moment != now:
            _, handler, before, after = self._now = self._look(now)
        if handler is None:
            self._logger.info(template, *args)
        else:
            handler.gather(f"{before}{template % args}{after}")

    def flush(self) -> None:
        """Write what has gathered."""
        handler = self._now[1]
        if handler is not None:
            handler.flush()

    def _look(self, now: int) -> tuple[int, Gathering | None, str, str]:
        if (last := self._now[1]) is not None and last not in logging.root.handlers:
            last.flush()  # It was taken away.
        handlers = logging.root.handlers
        handler = handlers[0] if len(handlers) == 1 else None
        if not isinstance(handler, Gathering) or (frame := handler.frame(self._logger)) is None:
            return (now, None, "", "")
        return (now, handler, *frame)


def _nobody_else_sees(logger: logging.Logger) -> bool:
    """Return whether only handlers of the root logger see this logger's lines, as the library makes them."""
    if logger.filters or type(logger) is not logging.Logger or not logger.isEnabledFor(logging.INFO):
        return False
    if logging.getLogRecordFactory() is not logging.LogRecord:
        return False
    each: logging.Logger | None = logger
    while each is not None and each is not logging.root:
        if each.handlers or not each.propagate:
            return False
        each = each.parent
    return each is logging.root
