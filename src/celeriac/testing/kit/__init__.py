"""Tests of applications: tasks that run when a test says so, on a clock that jumps, and assertions about them.

``docs/howto/test-tasks.md`` shows how; the names are those of :mod:`celeriac.testing`.
"""
