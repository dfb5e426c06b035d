"""The command ``celeriac``: its global options, and what becomes of errors.

Exit codes: 0, all is well; 1, it failed; 2, the command line or a setting is wrong; 69, no worker answered;
130, Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click

from celeriac import __version__
from celeriac.cli.commands import Commands
from celeriac.cli.environment import misspelt
from celeriac.cli.output import Output
from celeriac.cli.session import Session, pass_session
from celeriac.core.redact import redact_url
from celeriac.errors import CeleriacError, ImproperlyConfigured

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
_GLOBAL: Final = ("-A", "--app", "-b", "--broker", "--result-backend", "--workdir", "-C", "--no-color")


@click.group(
    "celeriac",
    cls=Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "CELERIAC",
        "max_content_width": 110,
    },
)
@click.option(
    "-A",
    "--app",
    envvar=["CELERIAC_APP", "CELERY_APP"],
    metavar="MODULE[:NAME]",
    help="The app: the module that makes it, and its name there if it is not app or celery.",
)
@click.option("-b", "--broker", metavar="URL", help="Use this broker instead of the app's.")
@click.option("--result-backend", metavar="URL", help="Use this result store instead of the app's.")
@click.option("--workdir", type=click.Path(exists=True, file_okay=False), help="Go to this folder first.")
@click.option("-q", "--quiet", is_flag=True, help="No banner and no notes.")
@click.option("-C", "--no-color", is_flag=True, help="No colours; nor has a pipe any, nor where NO_COLOR is set.")
@click.version_option(__version__, message="%(version)s (celeriac)")
@pass_session
def celeriac(
    session: Session,
    /,
    app: str | None,
    broker: str | None,
    result_backend: str | None,
    workdir: str | None,
    quiet: bool,
    no_color: bool,
) -> None:
    """Celeriac, the task queue.

    Every option can be given as an environment variable: CELERIAC_APP, CELERIAC_WORKER_CONCURRENCY, and so on.
    """
    session.target = app or None
    session.broker = broker or None
    session.backend = result_backend or None
    session.out = Output(quiet=quiet, color=not no_color)
    session.move_to(workdir)
    for text in misspelt(os.environ, celeriac):
        session.out.note(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        argv: The words after ``celeriac``; default: those of this process.
    """
    words = tuple(sys.argv[1:] if argv is None else argv)
    session = Session(words)
    try:
        code = celeriac.main(list(words), "celeriac", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except click.ClickException as exc:
        _explain(exc)
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        session.out.note("Interrupted.")
        return INTERRUPTED
    except CeleriacError as exc:
        return _complain(session, exc, USAGE if isinstance(exc, ImproperlyConfigured) else FAILED)
    except BrokenPipeError:
        # Whoever read our output has had enough; nobody is there to be told, and Python must not try at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as exc:
        return _complain(session, exc, FAILED)
    finally:
        session.close()
    return int(code or 0)


def _complain(session: Session, exc: Exception, code: int) -> int:
    if session.debug:
        session.out.error(redact_url("".join(traceback.format_exception(exc))))
    session.out.error(f"Error: {redact_url(str(exc))}")
    return code


def _explain(exc: click.ClickException) -> None:
    if isinstance(exc, click.NoSuchOption) and exc.option_name in _GLOBAL:
        text = f"{exc.option_name} belongs before the command: `celeriac {exc.option_name} ... COMMAND`."
        exc = click.UsageError(text, exc.ctx)
    exc.show()
