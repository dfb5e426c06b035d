"""Names of tasks: ``module.function``, the same in the process that sends and in the worker that runs.

A module run as a script is called ``__main__`` there, and by its own name in the worker that imports it. So a task of
such a module is named after the app, where the app has a name, else after the file.
"""

from __future__ import annotations

import os
import sys


def task_name(function_name: str, module_name: str | None, main: str | None) -> str:
    """Return the name of a task.

    Args:
        function_name: ``__name__`` of the function or class.
        module_name: ``__module__`` of it.
        main: The app's own name, the first argument of ``Celeriac(...)``.
    """
    if module_name in (None, "__main__"):
        module_name = main or script_module()
    return f"{module_name}.{function_name}" if module_name else function_name


def script_module() -> str:
    """Return the name under which the module that runs as a script is imported elsewhere."""
    script = sys.modules.get("__main__")
    spec = getattr(script, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name).removesuffix(".__main__")
    path: str | None = getattr(script, "__file__", None)
    if path:
        return os.path.splitext(os.path.basename(path))[0]
    return "__main__"
