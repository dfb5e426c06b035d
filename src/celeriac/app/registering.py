"""The part of an app that has tasks: ``@app.task``, class-based tasks, discovery, finalising.

A task exists from its definition on, but what depends on settings is worked out when the app is finalised, with the
first use of any task: a module may define tasks before the app is configured.
"""

from __future__ import annotations

import difflib
import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from celeriac.app import builtins, discovery, naming, state
from celeriac.app.configuration import find_object
from celeriac.app.configured import Configured
from celeriac.app.narrowing import is_list, is_mapping
from celeriac.app.options import TASK_NAMES, TaskOptions, check_options
from celeriac.app.registry import TaskRegistry
from celeriac.app.task import Task as BaseTask
from celeriac.core.message import check_name
from celeriac.errors import ImproperlyConfigured, InvalidTaskError
from celeriac.events import signals

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac

P = ParamSpec("P")
R = TypeVar("R")
TaskClass = TypeVar("TaskClass", bound=BaseTask[..., Any])

_MEANINGLESS = frozenset({"lazy", "shared"})
"""Options of Celery's that are accepted and change nothing."""
_RUN: Any = cast("Any", BaseTask).run


class TaskDecorator(Protocol):
    """What ``app.task(...)`` returns."""

    def __call__(self, function: Callable[P, R], /) -> BaseTask[P, R]: ...


class BoundTaskDecorator(Protocol):
    """What ``app.task(bind=True, ...)`` returns: the function's first parameter is the task."""

    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> BaseTask[P, R]: ...


class Registering(Configured):
    """An app's tasks.

    Args:
        main: The app's own name.
        autofinalize: Finalise with the first use; False leaves it to :meth:`finalize`.
        task_cls: Base class of the app's tasks, or its name.
    """

    finalized = False

    def __init__(
        self, *, main: str | None, autofinalize: bool, task_cls: type[BaseTask[..., Any]] | str | None
    ) -> None:
        super().__init__()
        self.main = main
        self.autofinalize = autofinalize
        self._task_cls = task_cls
        self._base: type[BaseTask[..., Any]] | None = None
        self._registry = TaskRegistry()
        self._finalizing = threading.RLock()
        self._discoveries: list[Callable[[], None]] = []

    # Defining tasks.

    @overload
    def task(self, function: Callable[P, R], /) -> BaseTask[P, R]: ...
    @overload
    def task(self, *, bind: Literal[True], base: None = None, **options: Unpack[TaskOptions]) -> BoundTaskDecorator: ...
    @overload
    def task(
        self, *, bind: Literal[False] = False, base: None = None, **options: Unpack[TaskOptions]
    ) -> TaskDecorator: ...
    @overload
    def task(self, *, bind: Literal[True], base: type[BaseTask[..., Any]], **options: Any) -> BoundTaskDecorator: ...
    @overload
    def task(
        self, *, bind: Literal[False] = False, base: type[BaseTask[..., Any]], **options: Any
    ) -> TaskDecorator: ...
    def task(self, *args: Any, **options: Any) -> Any:
        """Make a task of a function: ``@app.task`` or ``@app.task(...)``.

        Args:
            *args: The function, where the decorator is used bare.
            **options: ``bind`` (give the function the task as its first argument), ``base`` (the task's class), and
                those of :class:`celeriac.app.options.TaskOptions`. Others become attributes of the task.

        Raises:
            ImproperlyConfigured: An option or the function is not valid.
            AlreadyRegistered: Another function has the task's name.
        """
        return decorated(self.make_task, args, options, "app.task")

    def register_task(self, task: TaskClass | type[TaskClass], **options: Any) -> TaskClass:
        """Register a class-based task, by its class or an instance; return the instance.

        Raises:
            ImproperlyConfigured: It is no task, or an option is not valid.
            AlreadyRegistered: Another task has its name.
        """
        instance = task() if isinstance(task, type) else task
        if not isinstance(instance, BaseTask):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ImproperlyConfigured(f"register_task takes an instance of a subclass of Task, not {task!r}")
        kind: Any = type(instance)
        name = options.pop("name", None) or getattr(instance, "name", None)
        if kind.run is _RUN and "run" not in vars(instance):
            raise ImproperlyConfigured(f"task class {kind.__qualname__} must define run()")
        own = {key: getattr(kind, key) for key in TASK_NAMES if key in _class_attributes(kind)}
        self._enter(instance, name or self.gen_task_name(kind.__name__, kind.__module__), {**own, **options})
        return instance

    def make_task(self, function: Callable[..., Any], options: dict[str, Any]) -> BaseTask[..., Any]:
        """Make a task of a function; what the decorators do.

        Raises:
            ImproperlyConfigured: An option or the function is not valid.
            AlreadyRegistered: Another function has the task's name.
        """
        options = dict(options)
        bound = options.pop("bind", False)
        base = options.pop("base", None)
        if isinstance(function, BaseTask):
            raise ImproperlyConfigured(f"{function!r} is a task already: decorate the function once")
        _check_function(function, bound=bound)
        _check_base(base)
        function_name = getattr(function, "__name__", None)
        name = options.pop("name", None)
        if name is None:
            if function_name is None:
                raise ImproperlyConfigured(f"{function!r} has no name: say @app.task(name=...)")
            name = self.gen_task_name(function_name, getattr(function, "__module__", None))
        task = (base or self.Task)()
        task.wrap(function, bound=bound)
        self._enter(task, name, options)
        return task

    def _enter(self, task: BaseTask[..., Any], name: str, options: Mapping[str, Any]) -> None:
        owner = f"task {name!r}"
        found = check_options({"name": name, **options}, owner)
        try:
            check_name(name)
        except InvalidTaskError as exc:
            raise ImproperlyConfigured(str(exc)) from None
        _check_names(type(task), options, owner)
        attributes = vars(task)
        attributes.update({key: value for key, value in found.items() if key not in _MEANINGLESS})
        attributes["app"] = self
        task.make_retry_policy()
        with self._finalizing:
            self._registry.register(task)
            if self.finalized:
                task.bind(self._self)

    @property
    def Task(self) -> type[BaseTask[..., Any]]:
        """The base class of this app's tasks; subclass it for class-based tasks."""
        found = self._base
        if found is None:
            kind: Any = self._task_cls or BaseTask
            if isinstance(kind, str):
                kind = find_object(kind)
            if not (inspect.isclass(kind) and issubclass(kind, BaseTask)):
                raise ImproperlyConfigured(f"task_cls={self._task_cls!r} must be a subclass of celeriac.Task")
            made: Any = type("Task", (cast("type", kind),), {"app": self, "__module__": __name__})
            found = self._base = cast("type[BaseTask[..., Any]]", made)
        return found

    def gen_task_name(self, name: str, module: str | None) -> str:
        """Return the name of a task that is not given one: ``module.name``."""
        return naming.task_name(name, module, self.main)

    # Finding tasks.

    @property
    def tasks(self) -> TaskRegistry:
        """The tasks by name; finalises the app."""
        if not self.finalized:
            self.finalize(auto=True)
        return self._registry

    def _before_use(self) -> None:
        """Do what is to be done once all tasks are bound; an app that knows something overrides it."""

    def finalize(self, auto: bool = False) -> None:
        """Bind all tasks, shared ones too. Safe to call again.

        Args:
            auto: The call comes from a use of the app, not from the user.

        Raises:
            RuntimeError: ``auto``, and the app was made with ``autofinalize=False``.
            ImproperlyConfigured: A setting is not valid.
        """
        if self.finalized:
            return
        with self._finalizing:
            # Another thread may have done it while this one waited.
            if vars(self).get("finalized") or self._in_finalize:
                return
            if auto and not self.autofinalize:
                raise RuntimeError(
                    f"app {self.main!r} was made with autofinalize=False and is used before app.finalize() was called"
                )
            self._in_finalize = True
            try:
                self.conf  # noqa: B018 -- settings modules may define tasks; they must be there before the next line
                for make in state.shared_tasks():
                    make(self._self)
                for name, function in builtins.functions(self._self).items():
                    if name not in self._registry:
                        self.make_task(function, {"name": name, "base": BaseTask, "typing": False})
                for task in list(self._registry.values()):
                    task.bind(self._self)
                self._before_use()
                self.finalized = True
            finally:
                self._in_finalize = False

    _in_finalize = False

    def autodiscover_tasks(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Import the module ``related_name`` of each package that has one.

        That happens when a worker starts (or :meth:`import_default_modules` is called), unless ``force``. An error
        inside such a module is raised; a package without one is passed over.

        Args:
            packages: Names of packages, or a function that returns them.
            related_name: None imports the packages themselves.
            force: Now.

        Raises:
            ModuleNotFoundError: There is no such package.
        """
        if packages is None:
            raise ImproperlyConfigured(
                "autodiscover_tasks needs the packages to look into, as a list of names or a function that returns them"
            )
        if isinstance(packages, str):
            raise ImproperlyConfigured(f"autodiscover_tasks takes a list of packages: [{packages!r}]")

        def discover() -> None:
            for package in packages() if callable(packages) else packages:
                discovery.import_related(package, related_name)

        if force:
            discover()
        else:
            self._discoveries.append(discover)

    def import_default_modules(self) -> None:
        """Import what ``include=``, the settings ``imports`` and ``include``, and autodiscovery name.

        Raises:
            Exception: What an import raised, with a note that says who wanted it.
        """
        if signals.import_modules.receivers:
            signals.import_modules.send(self)
        conf = self.conf
        for setting in ("imports", "include"):
            for name in conf[setting]:
                discovery.import_module(name, f"setting {setting}")
        for discover in self._discoveries:
            discover()

    def annotations_of(self, name: str) -> dict[str, Any]:
        """Return the attributes that the setting ``task_annotations`` gives a task."""
        found: dict[str, Any] = {}
        annotations = self.conf.task_annotations
        if not annotations:
            return found
        for one in annotations if is_list(annotations) else (annotations,):
            if not is_mapping(one):
                raise ImproperlyConfigured(
                    f"setting task_annotations: {one!r} must be a dictionary of task names (or '*') to options"
                )
            for key in ("*", name):
                found.update(check_options(one.get(key) or {}, f"setting task_annotations, {key!r}"))
        return found

    @property
    def _self(self) -> Celeriac:
        return cast("Celeriac", self)


def decorated(
    make: Callable[[Callable[..., Any], dict[str, Any]], Any],
    args: tuple[Any, ...],
    options: dict[str, Any],
    decorator: str,
) -> Any:
    """Return what a decorator returns that may be used bare or with options.

    Args:
        make: Makes the task of a function with options.
        args: The decorator's positional arguments.
        options: Its options.
        decorator: Its name, for errors.

    Raises:
        TypeError: There is more than the function.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        return make(function, options)

    match args:
        case ():
            return decorate
        case (function,) if callable(function):
            return decorate(function)
        case _:
            raise TypeError(
                f"{decorator} takes the function alone: give options by name, as in @{decorator}(queue='images')"
            )


def check_definition(function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Pass if a task can be made of the function with these options, as far as no app is needed to tell.

    Raises:
        ImproperlyConfigured: It cannot.
    """
    _check_function(function, bound=options.get("bind", False))
    _check_base(options.get("base"))
    owner = f"task {options.get('name') or getattr(function, '__qualname__', function)!r}"
    checked = {key: value for key, value in options.items() if key not in ("bind", "base")}
    check_options(checked, owner)
    _check_names(options.get("base") or BaseTask, checked, owner)


def _check_function(function: Callable[..., Any], *, bound: Any) -> None:
    what = getattr(function, "__qualname__", repr(function))
    if not isinstance(bound, bool):
        raise ImproperlyConfigured(f"task {what}: bind={bound!r} must be True or False")
    if isinstance(function, type):
        raise ImproperlyConfigured(f"{what} is a class: derive it from app.Task and give it to app.register_task()")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ImproperlyConfigured(
            f"task {what} contains yield, so calling it runs nothing: return a value (a list), or send one task for"
            " each item"
        )
    if isinstance(function, (staticmethod, classmethod)):
        raise ImproperlyConfigured(f"task {what}: put @app.task below @staticmethod, on the function itself")
    if bound:
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (ValueError, TypeError):
            return
        kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
        if not parameters or parameters[0].kind in kinds:
            raise ImproperlyConfigured(
                f"task {what} has bind=True, so it is called with the task as its first argument, and it takes none:"
                " add a parameter self, or leave bind out"
            )


def _check_base(base: Any) -> None:
    if base is not None and not (inspect.isclass(base) and issubclass(base, BaseTask)):
        raise ImproperlyConfigured(f"base={base!r} must be a subclass of celeriac.Task")


def _check_names(kind: type[BaseTask[..., Any]], options: Mapping[str, Any], owner: str) -> None:
    """Refuse an option that is a misspelt one; any other unknown name becomes an attribute, as in Celery."""
    for name in options:
        if name in TASK_NAMES or hasattr(kind, name):
            continue
        near = difflib.get_close_matches(name, TASK_NAMES, n=1, cutoff=0.8)
        if near:
            raise ImproperlyConfigured(
                f"{owner}: unknown option {name!r}: did you mean {near[0]!r}? (To give the task an attribute of that"
                " name, define it on a base class.)"
            )


def _class_attributes(kind: type[BaseTask[..., Any]]) -> set[str]:
    """Return the names that subclasses of Task define."""
    classes: list[type] = [one for one in kind.__mro__ if one is not BaseTask and issubclass(one, BaseTask)]
    return {name for one in classes for name in vars(one)}
