"""A worker's first look at its stores: what is wrong with them is said at once, and what is away is waited for.

When a machine boots, or a cluster does, a worker may be up before its broker.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Final

from celeriac.app import Celeriac
from celeriac.errors import OperationalError
from celeriac.results import SyncResults

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
"""Seconds between two attempts; they double from the first to the longest."""


def reach_stores(app: Celeriac, note: Callable[[str], None], sleep: Callable[[float], object] = time.sleep) -> None:
    """Install the broker's structure and look at the result store; wait for either under the app's settings.

    Args:
        app: The app.
        note: Tells a person what is being waited for.
        sleep: Waits for some seconds.

    Raises:
        OperationalError: They were away to the last attempt (`broker_connection_max_retries`), or the app does not want
            to wait (`broker_connection_retry_on_startup`).
        CeleriacError: Something is wrong with one of them that will not pass.
    """
    conf = app.conf
    waits = conf.broker_connection_retry_on_startup
    if waits is None:
        waits = conf.broker_connection_retry
    most = (conf.broker_connection_max_retries or None) if waits else 0
    pause = FIRST_PAUSE
    for tries in count():
        try:
            app.broker.install()
            if app.results_enabled:
                app.backend.now()
                if not app.results_share_broker:
                    _prepare_results(app.backend)
        except OperationalError as exc:
            if most is not None and tries >= most:
                raise
            note(f"Waiting for the store, trying again in {pause:g} s: {exc}")
            sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            return


def _prepare_results(backend: SyncResults) -> None:
    """See that a result store of its own has what it needs.

    One that only keeps results is in the application's database, whose owner may want to make the tables himself; with
    the first use they come into being, unless the app says that they must not.
    """
    if backend.capabilities.messages:
        backend.install()
    else:
        backend.prune(None, 1)
        backend.verify()
