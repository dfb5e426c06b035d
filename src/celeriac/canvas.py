"""Workflows, under Celery's name: ``from celeriac.canvas import chain, group, chord``."""

from celeriac.app.canvas import Signature, maybe_signature, signature
from celeriac.app.stamping import GroupStampingVisitor, StampingVisitor
from celeriac.app.workflows import chain, chord, chunks, group, xmap, xstarmap

subtask = signature
maybe_subtask = maybe_signature

__all__ = [
    "GroupStampingVisitor",
    "Signature",
    "StampingVisitor",
    "chain",
    "chord",
    "chunks",
    "group",
    "maybe_signature",
    "maybe_subtask",
    "signature",
    "subtask",
    "xmap",
    "xstarmap",
]
