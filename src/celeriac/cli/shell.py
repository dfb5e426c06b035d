"""``celeriac shell``: Python with the app at hand."""

from __future__ import annotations

import code
import importlib
from typing import Any

import click

from celeriac import __version__
from celeriac.cli.session import Session, pass_session


@click.command()
@click.option("-I", "--ipython", is_flag=True, help="Use IPython, or fail if it is not there.")
@click.option("--python", "plain", is_flag=True, help="Use plain Python, even if IPython is there.")
@click.option("-T", "--without-tasks", is_flag=True, help="Do not give tasks names of their own.")
@pass_session
def shell(session: Session, /, ipython: bool, plain: bool, without_tasks: bool) -> None:
    """Start Python with `app`, `tasks`, and every task under the last part of its name."""
    app = session.app
    session.import_tasks()
    names: dict[str, Any] = {}
    if not without_tasks:
        names |= {name.rpartition(".")[2]: task for name, task in app.tasks.regular().items()}
    names |= {"app": app, "tasks": app.tasks, "AsyncResult": app.AsyncResult}
    welcome = f"celeriac {__version__}, app {app.main or session.target}. Names: {', '.join(sorted(names))}"
    embed = None if plain else _ipython(required=ipython)
    if embed is None:
        code.interact(banner=welcome, local=names, exitmsg="")
    else:
        embed.embed(user_ns=names, banner1=welcome, colors="neutral")


def _ipython(*, required: bool) -> Any:
    try:
        return importlib.import_module("IPython")
    except ImportError:
        if required:
            raise click.ClickException("IPython is not installed: pip install ipython, or leave -I out") from None
        return None
