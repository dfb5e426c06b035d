"""What a ``sqlite://`` URL says.

The form is SQLAlchemy's: three slashes before a relative path, four before an absolute one. A relative path is taken
from the working directory of the moment when the URL is read, so that a later change of directory (a worker that
becomes a daemon) does not lead to another file.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote

import msgspec

from celeriac.brokers.parameters import parameter, seconds, whole
from celeriac.core.redact import redact_url
from celeriac.errors import ImproperlyConfigured

BUSY_TIMEOUT: Final = 5.0
PARAMETERS: Final = ("busy_timeout", "max_size", "synchronous")
MIN_SIZE: Final = 1_000_000


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Where the file is and how to treat it.

    Attributes:
        path: Absolute.
        synchronous: ``normal``: a commit is on disk with the next checkpoint, so that a loss of power may cost the
            last commits (the end of a process never does). ``full``: a commit is on disk when it returns.
        busy_timeout: Seconds to wait for other writers before an operation fails.
        max_size: Most bytes that the file may grow to; None means as much as there is.
    """

    path: str
    synchronous: Literal["normal", "full"] = "normal"
    busy_timeout: float = BUSY_TIMEOUT
    max_size: int | None = None


def parse(url: str) -> Location:
    """Return what the URL says.

    Raises:
        ImproperlyConfigured: The path or a parameter is wrong.
    """
    _, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    url = redact_url(url)  # From here on it is only shown.
    if not place.startswith("/"):
        place = place.rpartition("@")[2]
        host = place.partition("/")[0]
        raise ImproperlyConfigured(
            f"{url!r}: a SQLite file is on this machine, so there is no host {host!r}: write sqlite:///{place} for a"
            f" relative path, sqlite:////{place} for an absolute one"
            if host
            else f"{url!r}: the path is missing, as in sqlite:///celeriac.db"
        )
    path = unquote(place[1:])
    if not path or path == ":memory:":
        raise ImproperlyConfigured(
            f"{url!r}: the path of a file is missing, as in sqlite:///celeriac.db; what need not be kept is memory://"
        )
    if "\0" in path or path.endswith("/"):
        raise ImproperlyConfigured(f"{url!r}: {path!r} is not the path of a file")
    options = _options(url, query)
    return Location(
        path=str(Path(os.path.abspath(path))),
        synchronous=_synchronous(url, options.get("synchronous", "normal")),
        busy_timeout=parameter(
            url, "busy_timeout", options.get("busy_timeout", str(BUSY_TIMEOUT)), seconds(3600, least=0)
        ),
        max_size=parameter(url, "max_size", options["max_size"], whole(MIN_SIZE, of="bytes"))
        if "max_size" in options
        else None,
    )


def _options(url: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in PARAMETERS:
            near = difflib.get_close_matches(name, PARAMETERS, n=1)
            guess = f"; did you mean {near[0]!r}?" if near else "."
            raise ImproperlyConfigured(
                f"{url!r}: unknown parameter {name!r}{guess} Known parameters are {', '.join(PARAMETERS)}"
            )
    return options


def _synchronous(url: str, value: str) -> Literal["normal", "full"]:
    match value.lower():
        case "normal":
            return "normal"
        case "full":
            return "full"
        case _:
            raise ImproperlyConfigured(
                f"{url!r}: synchronous={value} must be normal (a loss of power may cost the last commits) or full (it"
                " costs nothing, and each commit waits for the disk)"
            )
