"""Helpers under Celery's names: ``celeriac.utils.log``, ``celeriac.utils.uuid``."""

from celeriac.core.ids import new_id as uuid

__all__ = ["uuid"]
