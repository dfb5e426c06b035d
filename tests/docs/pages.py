"""Pages of the documentation as programs: their fenced blocks, and a scenario that does what a reader would do.

What a block is is said by its language:

- ``python title="tasks.py"``: a file. It is written into the page's folder, and must import.
- ``python`` without a title: a fragment. It must compile, and what it imports from celeriac must exist.
- ``pycon``: typed into one Python session that lasts as long as the page; answers must be as shown, ``...`` stands for
  anything.
- ``console``: typed into a shell; a line after ``$`` is a command, the lines below it are its answer, as far as they
  are shown. A command that starts a worker goes to the background once the worker is ready, and is told to end when
  the page does.
- ``sh title="rabbit.sh"``: a file, too.
- the rest (``sh``, ``ini``, ``text``, ...) is for reading.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, NamedTuple

PROJECT = Path(__file__).parents[2]
SESSION = Path(__file__).with_name("session.py")
READING = frozenset({"sh", "ini", "toml", "yaml", "json", "text", "mermaid"})
LANGUAGES = READING | {"python", "pycon", "console"}

_FENCE = re.compile(r"^```(?P<language>\w*)[ \t]*(?P<rest>[^\n]*)\n(?P<text>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'title="([^"]+)"')
_WORKER = re.compile(r"^(python -m )?celeriac\b.* worker\b")
_READY = " ready."
_READY_WITHIN = 30.0
_ENDS_WITHIN = 20.0
_COMMAND_WITHIN = 60.0
_PORT = re.compile(r"\b(8099|6399|5499|5698|5699)\b")
"""Each stands in pages for a port that is free; pages are played side by side."""
_CHECKER = doctest.OutputChecker()


class Block(NamedTuple):
    """One fenced block."""

    page: Path
    line: int
    language: str
    title: str | None
    text: str

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.page.relative_to(PROJECT)}:{self.line}"


class Command(NamedTuple):
    """One command of a ``console`` block and the answer that is shown."""

    text: str
    answer: str


def documentation() -> list[Path]:
    """Return every page that people read."""
    return [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text()
    found: list[Block] = []
    for match in _FENCE.finditer(text):
        title = _TITLE.search(match["rest"])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, match["language"], title and title[1], match["text"]))
    return found


def commands(block: Block) -> list[Command]:
    """Return the commands of a ``console`` block. One that ends with a backslash goes on in the next line."""
    found: list[Command] = []
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, answer = re.sub(r"\\\n\s*", "", part).partition("\n")
        found.append(Command(command.partition("  # ")[0].strip(), answer))
    return found


def check_fragment(block: Block) -> None:
    """Fail if a fragment does not compile or imports from celeriac what is not there."""
    tree = compile(
        block.text, block.place, "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "celeriac":
            module = importlib.import_module(node.module)
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not missing, f"{block.place}: {node.module} has no {missing}"


class Session:
    """A Python session in a folder."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(SESSION)],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def type(self, block: Block) -> None:
        """Type a block into it; fail if an answer is not as shown."""
        assert self._process.stdin is not None
        asked = {"text": block.text, "name": block.place, "line": block.line}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(_line(self._process.stdout))
        assert answer["tried"], f"{block.place}: no example in it"
        assert not answer["failed"], answer["said"]

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=_ENDS_WITHIN)


class Scenario:
    """Does what a page says, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._session: Session | None = None
        self._workers: list[tuple[subprocess.Popen[bytes], Path]] = []
        self._ports: dict[str, str] = {}
        self.done = 0

    def play(self, page: Path) -> None:
        """Play every block of the page in order, and end what it started."""
        try:
            for block in blocks(page):
                self.play_block(block._replace(text=_PORT.sub(self._free, block.text)))
            self._stop_workers()
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self._logs()}") from None
        finally:
            self._destroy()

    def play_block(self, block: Block) -> None:
        """Play one block."""
        match block.language:
            case "python" | "sh" if block.title is not None:
                self._write(block)
            case "pycon":
                self._session = self._session or Session(self._folder)
                self._session.type(block)
            case "console":
                for command in commands(block):
                    self._type(block, command)
            case _:
                return
        self.done += 1

    def _free(self, port: re.Match[str]) -> str:
        """Return the free port that one of a page's stands for."""
        return self._ports.setdefault(port[0], _free_port())

    def _write(self, block: Block) -> None:
        path = self._folder / str(block.title)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        if path.suffix == ".py" and path.name != "__init__.py":
            module = ".".join(path.relative_to(self._folder).with_suffix("").parts)
            code, said = self._shell(f"{sys.executable} -W error -c 'import {module}'")
            assert code == 0, f"{block.place}: {block.title} does not import\n{said}"

    def _type(self, block: Block, command: Command) -> None:
        if _WORKER.match(command.text) and "--help" not in command.text:
            self._start_worker(block, command)
            return
        code, said = self._shell(command.text)
        assert code == 0, f"{block.place}: $ {command.text}\nended with {code}\n{said}"
        if command.answer.strip():
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            assert _CHECKER.check_output(command.answer, said, flags), (
                f"{block.place}: $ {command.text}\nshould say\n{command.answer}\nand said\n{said}"
            )

    def _start_worker(self, block: Block, command: Command) -> None:
        log_path = self._folder / f"worker-{len(self._workers)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                ["/bin/bash", "-c", f"exec {command.text}"],
                cwd=self._folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._workers.append((process, log_path))
        until = time.monotonic() + _READY_WITHIN
        while _READY not in (said := log_path.read_text(errors="replace")):
            assert process.poll() is None, f"{block.place}: $ {command.text}\nended with {process.returncode}\n{said}"
            assert time.monotonic() < until, f"{block.place}: $ {command.text}\nwas not ready in time\n{said}"
            time.sleep(0.02)
        for line in filter(str.strip, command.answer.splitlines()):
            wanted = f"...{line.strip()}..."
            assert _CHECKER.check_output(wanted, said, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), (
                f"{block.place}: $ {command.text}\nshould say\n{line}\nand said\n{said}"
            )

    def _stop_workers(self) -> None:
        for process, _ in self._workers:
            process.terminate()
        for process, log_path in self._workers:
            code = process.wait(_ENDS_WITHIN)
            assert code == 0, f"the worker ended with {code}\n{log_path.read_text(errors='replace')}"

    def _destroy(self) -> None:
        if self._session is not None:
            self._session.close()
        for process, _ in self._workers:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(_ENDS_WITHIN)

    def _shell(self, command: str) -> tuple[int, str]:
        done = subprocess.run(
            ["/bin/bash", "-c", command],
            cwd=self._folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_WITHIN,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def _logs(self) -> str:
        return "\n".join(f"{path.name}:\n{path.read_text(errors='replace')[-4000:]}" for _, path in self._workers)


def _environment() -> dict[str, str]:
    """Return what a reader's shell would have: the virtual environment first, a terminal of 100 columns."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CELERIAC", "CELERY"))}
    return {**kept, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    line = stream.readline()
    assert line, "the Python session ended"
    return line
