"""What users hold in their hands: the app, tasks, signatures, result handles.

Nothing here does I/O of its own; it speaks to the broker and the result store through their facades.
"""

from celeriac.app.app import Celeriac

__all__ = ["Celeriac"]
