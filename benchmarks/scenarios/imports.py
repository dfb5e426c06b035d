"""How long it takes a program to import the library and make an app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from benchmarks.arena import Effort, Site
from benchmarks.figures import Metric
from benchmarks.scenarios.scenario import ALL
from benchmarks.system import System

# Celery's package imports its parts when they are first used, so the class is asked for and called.
PROGRAM: Final = """
import time
began = time.perf_counter()
from {package} import {name}
{name}("benchmarks")
print((time.perf_counter() - began) * 1000)
"""


class ImportTime:
    """A fresh interpreter, with the bytecode cached."""

    name = "import"
    rounds = ALL
    metrics = (Metric(key="import", title="import of the library and one app, fresh interpreter", unit="ms"),)

    def fits(self, system: System) -> bool:
        """What is called like Celery: the class of an app, in a package of its name."""
        return system.package in ("celeriac", "celery")

    def measure(self, site: Site, effort: Effort) -> Mapping[str, float]:
        """Import once."""
        package = site.system.package
        return {"import": float(site.run("import", "-c", PROGRAM.format(package=package, name=package.capitalize())))}
