"""Celeriac: a distributed task queue with the Celery API and a new engine."""

__version__ = "0.1.0"
