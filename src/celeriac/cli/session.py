"""What the global options chose, and the app they lead to."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from celeriac.cli.output import Output

if TYPE_CHECKING:
    from celeriac.app import Celeriac

P = ParamSpec("P")
R = TypeVar("R")


class Session:
    """One call of the command line.

    Attributes:
        argv: The words after ``celeriac``.
        target: What ``-A`` named.
        broker, backend: URLs to use instead of the app's.
        out: Where to write.
        started_in: The working directory before ``--workdir``.
        debug: Show tracebacks of errors that a person can put right.
    """

    def __init__(self, argv: tuple[str, ...] = ()) -> None:
        self.argv = argv
        self.started_in = os.getcwd()
        self.target: str | None = None
        self.broker: str | None = None
        self.backend: str | None = None
        self.out = Output()
        self.debug = False

    @cached_property
    def app(self) -> Celeriac:
        """The app that ``-A`` names; with ``-b`` alone, an app without tasks on that broker.

        Raises:
            ImproperlyConfigured: There is none.
            UsageError: Nothing says which.
        """
        from celeriac.app import Celeriac
        from celeriac.app.find import find_app, user_code

        if self.target is None and self.broker is None:
            raise click.UsageError(
                "which app? Give -A before the command, as in `celeriac -A proj status`, or set CELERIAC_APP;"
                " `-b URL` alone looks at a broker without an app."
            )
        # By the environment, which wins over every setting, and which the processes we start inherit.
        if self.broker is not None:
            os.environ["CELERIAC_BROKER_URL"] = self.broker
        if self.backend is not None:
            os.environ["CELERIAC_RESULT_BACKEND"] = self.backend
        if self.target is None:
            return Celeriac("celeriac", broker=self.broker, backend=self.backend or self.broker)
        app = find_app(self.target)
        with user_code("reading the settings"):
            app.finalize()
        return app

    def import_tasks(self) -> None:
        """Import what the app says has its tasks.

        Raises:
            ImproperlyConfigured: That failed.
        """
        from celeriac.app.find import user_code

        with user_code("importing the tasks"):
            self.app.import_default_modules()

    def close(self) -> None:
        """Close what the app has opened, if there is one."""
        if "app" in vars(self):
            self.app.close()

    def require_target(self) -> str:
        """Return what ``-A`` named.

        Raises:
            UsageError: It was not given.
        """
        if self.target is None:
            raise click.UsageError(
                "which app? Give -A before the command, as in `celeriac -A proj worker`, or set CELERIAC_APP"
                " (the module that makes the app, in the folder where you start)."
            )
        return self.target

    def move_to(self, folder: str | None) -> None:
        """Work in this folder."""
        if folder is not None:
            os.chdir(folder)


def pass_session(function: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
    """Give a command the session as its first argument."""

    def with_session(*args: P.args, **kwargs: P.kwargs) -> R:
        session: Any = click.get_current_context().find_object(Session)
        return function(session, *args, **kwargs)

    return update_wrapper(with_session, function)


def comma_separated(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Return ``a,b`` as a tuple: the callback of options that take several names."""
    if value is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not names:
        raise click.BadParameter("give at least one name; several are separated by commas", ctx, parameter)
    return names
