"""What the parts of a task have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.execution.context import Request, current_request

if TYPE_CHECKING:
    from celeriac.app.app import Celeriac


class Running:
    """A task with a name, an app, and perhaps a run."""

    name: str
    app: Celeriac

    @property
    def request(self) -> Request:
        """The run that the caller is in; an empty one outside of a run of this task."""
        found = current_request.get()
        return found if found is not None and found.task == self.name else Request()
