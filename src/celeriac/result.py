"""Result handles, under Celery's name: ``from celeriac.result import AsyncResult``."""

from celeriac.app.eager_result import EagerResult
from celeriac.app.gathering import agather, gather
from celeriac.app.group_result import GroupResult, ResultSet
from celeriac.app.reading import RemoteTraceback
from celeriac.app.result import AsyncResult, allow_join_result, result_from_tuple

__all__ = [
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "RemoteTraceback",
    "ResultSet",
    "agather",
    "allow_join_result",
    "gather",
    "result_from_tuple",
]
