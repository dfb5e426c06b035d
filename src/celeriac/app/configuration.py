"""Where an app's settings come from, and when they are read.

Sources are remembered when they are named and read when the first setting is needed, because a settings module may
itself import the app's package. Later sources win over earlier ones, what was given to the app's constructor over all
sources, and the environment over everything for the two URLs.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from celeriac import brokers, results
from celeriac.app.times import local_zone
from celeriac.core.settings import Settings
from celeriac.core.settings_table import SETTINGS
from celeriac.errors import ImproperlyConfigured, UnknownSettingWarning
from celeriac.results import StoreOptions

DEFAULT_URL: Final = "sqlite:///celeriac.db"
"""Broker and result store of an app that names no broker: a file in the working directory."""
BROKER_VARIABLES: Final = ("CELERIAC_BROKER_URL", "CELERY_BROKER_URL")
BACKEND_VARIABLES: Final = ("CELERIAC_RESULT_BACKEND", "CELERY_RESULT_BACKEND")
CONFIG_VARIABLE: Final = "CELERIAC_CONFIG_MODULE"

_DATABASE: Final = frozenset({"database", "database://", "db", "db://"})
_NO_RESULTS: Final = frozenset({"", "disabled", "disabled://"})

_TIMES: Final = (("timeout", "broker_operation_timeout"), ("connect_timeout", "broker_connection_timeout"))
"""Parameters of URLs that have settings of their own."""


class AppSettings(Settings):
    """Settings that tell when they change.

    Args:
        changed: Called after each change.
    """

    def __init__(self, changed: Callable[[], object]) -> None:
        vars(self)["_changed"] = changed
        super().__init__()

    def _apply(self, changes: Mapping[str, Any]) -> None:
        super()._apply(changes)
        vars(self)["_changed"]()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        vars(self)["_changed"]()

    def fill(self, values: Mapping[str, Any]) -> None:
        """Set those of the settings that nothing has set."""
        for name, value in values.items():
            self.setdefault(name, value)


class Configuration:
    """The settings of one app with their sources.

    Args:
        changed: Called after each change of a setting.
        begin: Called once, before the first setting is read by somebody else.
    """

    def __init__(self, changed: Callable[[], object], begin: Callable[[], object] = lambda: None) -> None:
        self.settings = AppSettings(changed)
        self._begin: Callable[[], object] | None = begin
        self._pending: list[Callable[[], None]] = []
        self._loading = False
        self._held: frozenset[str] = frozenset()
        self.pinned: tuple[str, str | None] | None = None
        """URLs that count whatever the sources and the environment say."""

    def add(self, source: Any, *, namespace: str | None = None, silent: bool = False, force: bool = False) -> None:
        """Take over the settings of a source, now or when the first setting is needed.

        Args:
            source: A module, its name (``"proj.settings"``, ``"proj.settings:Class"``), a class, an instance, or a
                mapping.
            namespace: Take only names that begin with it, such as ``CELERY`` for ``CELERY_BROKER_URL``.
            silent: Pass over a module that is not there.
            force: Now.
        """
        self._pending.append(lambda: self._take(source, namespace, silent=silent))
        if force or not isinstance(source, str):
            self._read()

    def hold(self, values: Mapping[str, Any]) -> None:
        """Set settings that no source changes any more."""
        self.settings.update(values)
        self._held |= values.keys()

    def add_defaults(self, source: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Take over settings, as far as nothing else sets them."""
        self._pending.append(lambda: self.settings.fill(source() if callable(source) else source))

    def load(self) -> Settings:
        """Read what has not been read yet, and return the settings.

        Raises:
            ImproperlyConfigured: A source is not there, or has a bad value.
        """
        if self._begin is not None and not self._loading:
            begin, self._begin = self._begin, None
            try:
                begin()
            except BaseException:
                self._begin = begin
                raise
        self._read()
        return self.settings

    def _read(self) -> None:
        # A settings module that looks at the app while it is read finds what has been read so far.
        if self._pending and not self._loading:
            self._loading = True
            try:
                while self._pending:
                    self._pending[0]()
                    del self._pending[0]
            finally:
                self._loading = False

    def _take(self, source: Any, namespace: str | None, *, silent: bool) -> None:
        if isinstance(source, str):
            found = find_object(source, silent=silent)
            if found is None:
                return
            source = found
        held = {name: self.settings[name] for name in self._held}
        self.settings.from_object(source, namespace)
        self.settings.update(held)

    def urls(self) -> tuple[str, str | None]:
        """Return the URL of the broker, and that of the result store or None for no results."""
        conf = self.load()
        if self.pinned is not None:
            return self.pinned
        broker = _first_variable(BROKER_VARIABLES) or conf.broker_url
        backend = _first_variable(BACKEND_VARIABLES)
        if backend is None:
            backend = conf.result_backend
        if backend in _DATABASE:
            backend = _database(backend, conf)
        if broker is None:
            return DEFAULT_URL, DEFAULT_URL if backend is None else _backend(backend)
        backend = None if backend is None else results.by_reply(broker, _backend(backend))
        times = {name: conf[setting] for name, setting in _TIMES if conf[setting] != SETTINGS[setting].default}
        own = conf.broker_transport_options
        found = brokers.with_options(broker, {**times, **(own or {})}, conf.broker_use_ssl)
        broker = _without_unknown("broker_transport_options", found)
        if backend is not None:
            own = conf.result_backend_transport_options
            found = results.with_options(backend, {**times, **(own or {})}, conf.redis_backend_use_ssl)
            backend = _without_unknown("result_backend_transport_options", found)
        return broker, backend

    def store_options(self) -> StoreOptions:
        """Return what the settings say about the result store besides its URL."""
        conf = self.load()
        return StoreOptions(
            engine=conf.database_engine_options or {},
            short_lived=conf.database_short_lived_sessions,
            tables=conf.database_table_names,
            schemas=conf.database_table_schemas,
            creates_tables=conf.database_create_tables_at_setup,
        )

    def zone(self) -> tzinfo:
        """Return the time zone in which naive datetimes are read.

        Raises:
            ImproperlyConfigured: The machine knows no zone of that name.
        """
        conf = self.load()
        name = conf.timezone
        if name is None and not conf.enable_utc:
            return local_zone()
        if name is None or name.upper() == "UTC":
            return UTC
        try:
            return ZoneInfo(name)
        except (OSError, ValueError, KeyError) as exc:
            raise ImproperlyConfigured(
                f"setting timezone = {name!r}: this machine knows no such time zone; use an IANA name such as"
                " 'Europe/Berlin' (and install the package tzdata where the system has no zones)"
            ) from exc


def find_object(path: str, *, silent: bool = False) -> Any:
    """Import what ``package.module``, ``package.module:name`` or ``package.module.name`` names.

    Args:
        path: The name.
        silent: Return None if there is no such module.

    Raises:
        ImproperlyConfigured: There is no such thing. An error inside the module passes as it is.
    """
    module_name, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if not _is_missing(exc, module_name):
            raise
        parent, _, last = module_name.rpartition(".")
        if parent and not attribute:
            holder = find_object(parent, silent=silent)
            if hasattr(holder, last):
                return getattr(holder, last)
        if silent:
            return None
        raise ImproperlyConfigured(
            f"settings module {module_name!r} was not found; is its directory on sys.path ({os.getcwd()} is the"
            " working directory)?"
        ) from exc
    for name in filter(None, attribute.split(".")):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ImproperlyConfigured(f"module {module_name!r} has no {attribute!r}") from None
    return found


def _is_missing(exc: ModuleNotFoundError, module_name: str) -> bool:
    """Tell whether the module itself (or a package above it) is what was not found."""
    return exc.name is not None and (module_name == exc.name or module_name.startswith(f"{exc.name}."))


def _without_unknown(name: str, found: tuple[str, list[tuple[str, str | None]]]) -> str:
    """Return the URL that a setting's options were merged into; warn of those that nobody knows."""
    url, unknown = found
    for option, guess in unknown:
        meant = f"; did you mean {guess!r}?" if guess else ""
        warnings.warn(f"setting {name}: unknown option {option!r}{meant}", UnknownSettingWarning, stacklevel=3)
    return url


def _database(backend: str, conf: Settings) -> str:
    """Return the URL of the database that Celery's ``result_backend = "database"`` stands for."""
    if conf.database_url is None:
        raise ImproperlyConfigured(
            f"setting result_backend = {backend!r} needs the setting database_url; or name the database in"
            " result_backend: db+mysql+pymysql://user:password@host/database"
        )
    url: str = conf.database_url
    return url if url.startswith(("db+", "database+")) else f"db+{url}"


def _backend(url: str) -> str | None:
    return None if url in _NO_RESULTS else url


def _first_variable(names: tuple[str, ...]) -> str | None:
    for name in names:
        value = os.environ.get(name)
        if value:
            return value
    return None
