"""The part of an app that has settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

from celeriac.app import keys
from celeriac.app.configuration import CONFIG_VARIABLE, Configuration
from celeriac.app.hooks import Moment
from celeriac.core.codec import accept_types
from celeriac.core.queues import QueuePlan, declared, name_of
from celeriac.core.settings import Settings
from celeriac.errors import ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.core.clock import Clock
    from celeriac.core.security import Guard


class Configured:
    """An app's settings.

    Attributes:
        on_configure: Comes before the first setting is read; a subclass may define it as a method instead.
    """

    clock: Clock
    if TYPE_CHECKING:
        on_configure: Moment

    def __init__(self) -> None:
        self._zone: tzinfo | None = None
        self._accept: frozenset[str] | None = None
        self._result_accept: frozenset[str] | None = None
        self._urls: tuple[str, str | None] | None = None
        self._guard: tuple[keys.Wanted, Guard | None] | None = None
        if not hasattr(type(self), "on_configure"):  # A subclass may define it as a method, as in Celery.
            self.on_configure = Moment(self)
        self._configuration = Configuration(self._settings_changed, self._begin_to_configure)

    def _begin_to_configure(self) -> None:
        hook: Any = self.on_configure
        if isinstance(hook, Moment):
            hook.come()
        else:
            hook()

    def _settings_changed(self) -> None:
        """Forget what was worked out from settings."""
        self._zone = self._accept = self._result_accept = self._urls = None

    @property
    def conf(self) -> Settings:
        """The settings. Sources that were named and not read yet are read now.

        Raises:
            ImproperlyConfigured: A source is not there, or has a bad value.
        """
        return self._configuration.load()

    @conf.setter
    def conf(self, source: Any) -> None:
        self.config_from_object(source, force=True)

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """Take over settings, in addition to those there are.

        Args:
            obj: A module, its name (``"proj.settings"``, ``"proj.settings:Class"``; it is imported when the first
                setting is needed), a class, an instance, or a mapping.
            silent: Pass over a module that is not there.
            force: Import the module now.
            namespace: Take only names that begin with it, such as ``CELERY`` for ``CELERY_BROKER_URL``.

        Raises:
            ImproperlyConfigured: There is no such module, or a value is not valid.
        """
        self._configuration.add(obj, namespace=namespace or self.namespace, silent=silent, force=force)

    namespace: str | None = None

    def config_from_envvar(
        self, variable_name: str = CONFIG_VARIABLE, silent: bool = False, force: bool = False
    ) -> bool:
        """Take over the settings of the module that an environment variable names; return whether it is set.

        Raises:
            ImproperlyConfigured: The variable is not set and not ``silent``, or as :meth:`config_from_object`.
        """
        name = os.environ.get(variable_name)
        if not name:
            if silent:
                return False
            raise ImproperlyConfigured(
                f"the environment variable {variable_name} is not set: let it name your settings module"
            )
        self.config_from_object(name, silent=silent, force=force)
        return True

    def add_defaults(self, source: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Take over settings as far as nothing else sets them."""
        self._configuration.add_defaults(source)

    # What follows from settings.

    def urls(self) -> tuple[str, str | None]:
        """Return the URLs of the broker and of the result store; None: no results are kept."""
        found = self._urls
        if found is None:
            found = self._urls = self._configuration.urls()
        return found

    @property
    def broker_url(self) -> str:
        """The broker's URL, with its password."""
        return self.urls()[0]

    @property
    def timezone(self) -> tzinfo:
        """The time zone in which datetimes without one are read."""
        found = self._zone
        if found is None:
            found = self._zone = self._configuration.zone()
        return found

    @property
    def guard(self) -> Guard | None:
        """What signs and encrypts; None where the app has no keys.

        Raises:
            ImproperlyConfigured: A key cannot be found or is none; the text does not show it.
        """
        wanted = keys.wanted(self.conf)
        found = self._guard
        if found is None or found[0] != wanted:
            found = self._guard = wanted, keys.make_guard(wanted)
        return found[1]

    @property
    def accept(self) -> frozenset[str]:
        """Content types of messages that are sent and read."""
        found = self._accept
        if found is None:
            found = self._accept = accept_types(self.conf.accept_content)
        return found

    @property
    def result_accept(self) -> frozenset[str]:
        """Content types of results that are read."""
        found = self._result_accept
        if found is None:
            conf = self.conf
            if conf.result_accept_content is None:
                found = self.accept
            else:
                found = accept_types(conf.result_accept_content, setting="result_accept_content")
            self._result_accept = found
        return found

    def now(self) -> datetime:
        """Return the time, in the app's time zone."""
        return datetime.fromtimestamp(self.clock.now(), self.timezone)

    def queue_plan(self) -> QueuePlan:
        """Return what the settings say about queues."""
        conf = self.conf
        return QueuePlan(conf.task_queues, conf.task_create_missing_queues, conf.task_default_queue_type)

    def queue_names(self) -> list[str]:
        """Return the names of the app's queues: the default one, and those of the setting ``task_queues``.

        Where queues that are not named are not made, the default one is no queue unless it is named.
        """
        named = [name for one in declared(self.conf.task_queues) if (name := name_of(one))]
        default = [] if named and not self.conf.task_create_missing_queues else [self.conf.task_default_queue]
        return list(dict.fromkeys([*default, *named]))
