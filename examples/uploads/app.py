"""Every upload asks for a new cover of its playlist; of a burst, only the last one is made."""

from __future__ import annotations

import os
from typing import Any

import redis

from celeriac import Celeriac
from celeriac.signals import before_task_publish

URL = os.environ.get("UPLOADS_REDIS", "redis://127.0.0.1:6379/0")
REST = float(os.environ.get("UPLOADS_REST", 30 * 60))

app = Celeriac("uploads", broker=URL, backend=URL)
store = redis.Redis.from_url(URL, decode_responses=True)


@app.task(name="rebuild_cover")
def rebuild_cover(playlist: int) -> int:
    """Make the cover of a playlist; expensive. Returns how many were made of it."""
    made: int = store.incr(f"covers-made:{playlist}")
    return made


@before_task_publish.connect(sender="rebuild_cover")
def revoke_earlier(body: Any, headers: dict[str, Any], **_: Any) -> None:
    """Revoke the task that an earlier upload to the same playlist has sent."""
    (playlist,) = body[0]
    # Read and replaced in one step, so that no two uploads find the same earlier task.
    earlier = store.set(f"cover-task:{playlist}", headers["id"], get=True, ex=int(2 * REST) + 60)
    if earlier is not None:
        app.control.revoke(str(earlier))


def upload(playlist: int) -> str:
    """Keep a song in a playlist; returns the id of the task that is to make the cover."""
    return rebuild_cover.apply_async((playlist,), countdown=REST).id
