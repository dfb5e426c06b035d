"""The Celeriac app of the example: queue and results in one SQLite file, no server."""

from __future__ import annotations

from celeriac import Celeriac
from examples.mosaic.storage import folder_from_environment

folder = folder_from_environment()
_store = f"sqlite:///{folder.database}"

app = Celeriac("mosaic", broker=_store, backend=_store)
app.conf.worker_health_file = str(folder.health)
