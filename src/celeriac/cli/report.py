"""``celeriac report``: what a bug report should say, without secrets."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from importlib import metadata
from typing import Any, Final

import click

from celeriac import __version__
from celeriac.cli.session import Session, pass_session
from celeriac.core.redact import redact_url

_PACKAGES: Final = (
    "msgspec", "click", "rich", "uvloop", "psutil", "redis", "psycopg", "pydantic", "django", "flask", "fastapi",
    "sqlalchemy", "cryptography",
)  # fmt: skip


@click.command()
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def report(session: Session, /, as_json: bool) -> None:
    """Show versions, the platform and the app's settings, for a bug report. Passwords are hidden."""
    app = session.app
    broker, backend = app.urls()
    software = {
        "celeriac": __version__,
        "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version for name in _PACKAGES if (version := _version(name)) is not None},
    }
    about: dict[str, Any] = {
        "app": f"{app.main or '-'} ({session.target or 'no -A'})",
        "broker": redact_url(broker),
        "results": "none are kept" if backend is None else redact_url(backend),
        "tasks": len(app.tasks.regular()),
    }
    settings = app.conf.table()
    if as_json:
        session.out.json({"software": software, **about, "settings": settings})
        return
    for title, fields in (("software", software), ("app", about), ("settings that are not default", settings)):
        session.out.line(f"[{title}]", "bold")
        session.out.fields(fields)
        session.out.line()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
