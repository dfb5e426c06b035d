"""The configuration of an app: ``app.conf``.

Every value is checked when it is set, and an error names the setting. A name that nobody knows is kept and can be read,
but warned about with the nearest known one. Names from before Celery 4 (``CELERYD_CONCURRENCY``) are understood and
warned about.

Pure: no file and no environment variable is read here. Whoever imports a settings module passes the module.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final, cast

from celeriac.core.redact import redact
from celeriac.core.settings_kinds import checked
from celeriac.core.settings_names import OLD_NAMES, PREFIXES
from celeriac.core.settings_table import SETTINGS
from celeriac.errors import CeleriacWarning, ImproperlyConfigured, UnknownSettingWarning


class Settings(MutableMapping[str, Any]):
    """All settings, as attributes and as items; those that are not set have their default.

    Args:
        **given: Settings, as for :meth:`update`.

    Raises:
        ImproperlyConfigured: A value is not one that its setting accepts.
    """

    _given: set[str]

    def __init__(self, **given: Any) -> None:
        # The values are plain attributes, because the sending of a task reads some ten of them. Defaults that can
        # change are copied: app.conf.beat_schedule["x"] = ... is the app's own.
        values = vars(self)
        values.update({name: _default(name) for name in SETTINGS})
        values["_given"] = set()
        if given:
            self._apply(given)

    def __getitem__(self, name: str) -> Any:
        try:
            return vars(self)[_canonical(name)]
        except KeyError:
            raise KeyError(f"there is no setting {name!r}{_proposal(name)}") from None

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is no attribute: old and unknown names, and what copy and pickle look for.
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as exc:
            raise AttributeError(exc.args[0]) from None

    def __setitem__(self, name: str, value: Any) -> None:
        self._apply({name: value})

    def __setattr__(self, name: str, value: Any) -> None:
        self._apply({name: value})

    def __delitem__(self, name: str) -> None:
        """Give a setting its default again."""
        known = _canonical(name)
        if known in SETTINGS:
            vars(self)[known] = _default(known)
        elif known in self._given:
            del vars(self)[known]
        else:
            raise KeyError(f"there is no setting {name!r}{_proposal(name)}")
        self._given.discard(known)

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError as exc:
            raise AttributeError(exc.args[0]) from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and not name.startswith("_") and _canonical(name) in vars(self)

    def __iter__(self) -> Iterator[str]:
        return (name for name in vars(self) if not name.startswith("_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        changed = ", ".join(f"{name}={value!r}" for name, value in self.table().items())
        return f"<Settings: {changed or 'all default'}>"

    def update(self, other: Any = (), /, **given: Any) -> None:
        """Set several settings; if one is wrong, none is set.

        Args:
            other: A mapping, or pairs.
            **given: More settings.

        Raises:
            ImproperlyConfigured: A value is not one that its setting accepts.
        """
        self._apply({**dict(other), **given})

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Set a setting unless it has been set already, and return its value."""
        if _canonical(name) not in self._given:
            self._apply({name: default})
        return self[name]

    def from_object(self, source: object, namespace: str | None = None) -> None:
        """Take over the settings that ``source`` has.

        Args:
            source: A module, a class, an instance, or a mapping.
            namespace: Take only names that begin with it, such as ``CELERY`` for ``CELERY_BROKER_URL``.

        Raises:
            ImproperlyConfigured: A value is not one that its setting accepts, or ``source`` is a name.
        """
        if isinstance(source, (str, bytes)) or source is None:
            raise ImproperlyConfigured(f"settings come from a module, class, instance or mapping, not from {source!r}")
        names, read = _reader(source)
        if namespace:
            prefix = f"{namespace.rstrip('_')}_"
            # Celery's own prefix is also the first part of its old names: CELERY_ALWAYS_EAGER.
            found = {name: _without(prefix, name) for name in names if name.upper().startswith(prefix.upper())}
        else:
            explicit = isinstance(source, Mapping)
            found = {name: name for name in names if _is_meant(name, read, explicit=explicit)}
        self._apply({known: read(name) for name, known in found.items()})

    def changes(self) -> dict[str, Any]:
        """Return the settings whose value is not the default, as they are: passwords too."""
        return {name: value for name, value in self.items() if name not in SETTINGS or value != _default(name)}

    def table(self, with_defaults: bool = False, censored: bool = True) -> dict[str, Any]:
        """Return settings by name, for people to see.

        Args:
            with_defaults: All settings, not only those that have been changed.
            censored: Show ``***`` for passwords and the like, also inside URLs.
        """
        values = dict(self) if with_defaults else self.changes()
        return {name: redact(value, name=name) for name, value in values.items()} if censored else values

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """Return :meth:`table` as text, one setting on each line."""
        table = self.table(with_defaults, censored)
        return "\n".join(f"{name}: {value}" for name, value in table.items())

    def _apply(self, changes: Mapping[Any, Any]) -> None:
        ready: dict[str, Any] = {}
        for name, value in changes.items():
            if not isinstance(name, str) or name.startswith("_"):
                raise ImproperlyConfigured(
                    f"the name of a setting must be text that begins with a letter, not {name!r}"
                )
            known = _canonical(name)
            if known in ready:
                raise ImproperlyConfigured(f"setting {known} is given twice, once as {name}")
            setting = SETTINGS.get(known)
            if setting is None:
                _warn(f"unknown setting {name!r} has no effect{_proposal(name)}", UnknownSettingWarning)
                ready[known] = value
                continue
            if known != name:
                _warn(f"setting {name} has been renamed: call it {known}", CeleriacWarning)
            if value is None and setting.nullable:
                ready[known] = None
            else:
                ready[known] = checked(known, setting.kind, setting.default, value)
        vars(self).update(ready)
        self._given.update(ready)


def _default(name: str) -> Any:
    """Return a setting's default, a copy of it where it can be changed."""
    default = SETTINGS[name].default
    return copy.deepcopy(cast("object", default)) if isinstance(default, dict) else default


def _canonical(name: str) -> str:
    return name if name in SETTINGS else OLD_NAMES.get(name, name)


def _without(prefix: str, name: str) -> str:
    rest = name[len(prefix) :].lower()
    return rest if rest in SETTINGS or name not in OLD_NAMES else name


def _reader(source: object) -> tuple[list[str], Callable[[str], Any]]:
    """Return the names in a source of settings, and what reads one."""
    if isinstance(source, Mapping):
        mapping = cast("Mapping[object, Any]", source)
        return [name for name in mapping if isinstance(name, str)], mapping.__getitem__
    return [name for name in dir(source) if not name.startswith("_")], lambda name: getattr(source, name)


def _is_meant(name: str, read: Callable[[str], Any], *, explicit: bool) -> bool:
    """Return True if a name in a source without a namespace is a setting, known or misspelt."""
    if name in SETTINGS or name in OLD_NAMES:
        return True
    if name.isupper():
        # Such a module may be Django's settings: other people's names are none of our business.
        return name.startswith(("CELERY_", "CELERYD_", "CELERYBEAT_"))
    if explicit:
        return True
    # In a module there are also imports and helpers.
    if not name.startswith(PREFIXES) and not difflib.get_close_matches(name, SETTINGS, 1, 0.9):
        return False
    value = read(name)
    return not (inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value))


def _proposal(name: str) -> str:
    known = OLD_NAMES.get(name.upper()) or next(iter(difflib.get_close_matches(name.lower(), SETTINGS, 1, 0.7)), None)
    if known is None and not name.islower():
        close = difflib.get_close_matches(name, OLD_NAMES, 1, 0.8)
        known = OLD_NAMES[close[0]] if close else None
    return f"; did you mean {known!r}?" if known else ""


_PACKAGE: Final = __name__.partition(".")[0]


def _warn(text: str, category: type[Warning]) -> None:
    """Warn with the place outside this package that set the setting."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (_PACKAGE, "collections"):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
