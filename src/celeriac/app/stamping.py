"""Stamps: headers that a visitor puts on every signature of a canvas; tasks find them in ``self.request.stamps``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from celeriac.core.ids import new_id

if TYPE_CHECKING:
    from celeriac.app.canvas import Signature

NAMES = "stamped_headers"


class StampingVisitor:
    """Walks over a canvas and says what to stamp. Define :meth:`on_signature`; the other methods may stay as they are.

    Each method gets the headers of what is above and returns headers. Where these have ``stamped_headers``, a list of
    names, only those are stamps; otherwise all are.
    """

    def on_signature(self, sig: Signature, **headers: Any) -> dict[str, Any]:
        """Return the stamps of a task."""
        raise NotImplementedError(f"{type(self).__qualname__} must define on_signature()")

    def on_group_start(self, sig: Signature, **headers: Any) -> dict[str, Any]:
        """Return the stamps of all tasks of a group."""
        return self.on_signature(sig, **headers)

    def on_group_end(self, sig: Signature, **headers: Any) -> None:
        """Called behind the last task of a group."""

    def on_chain_start(self, sig: Signature, **headers: Any) -> dict[str, Any]:
        """Return the stamps of all tasks of a chain."""
        return self.on_signature(sig, **headers)

    def on_chain_end(self, sig: Signature, **headers: Any) -> None:
        """Called behind the last task of a chain."""

    def on_chord_header_start(self, sig: Signature, **headers: Any) -> dict[str, Any]:
        """Return the stamps of all tasks of a chord's header."""
        return self.on_group_start(sig, **headers)

    def on_chord_header_end(self, sig: Signature, **headers: Any) -> None:
        """Called behind the last task of a chord's header."""
        self.on_group_end(sig, **headers)

    def on_chord_body(self, sig: Signature, **headers: Any) -> dict[str, Any]:
        """Return the stamps of a chord's body, beside those of a task."""
        return {}

    def on_callback(self, callback: Signature, **headers: Any) -> dict[str, Any]:
        """Return the stamps of a callback, beside those of what it belongs to."""
        return {}

    def on_errback(self, errback: Signature, **headers: Any) -> dict[str, Any]:
        """Return the stamps of an errback, beside those of what it belongs to."""
        return {}


class GroupStampingVisitor(StampingVisitor):
    """Stamps each task with the ids of the groups that it is in, the outermost first, as ``groups``."""

    def __init__(self) -> None:
        self.groups: list[str] = []

    def on_group_start(self, sig: Signature, **headers: Any) -> dict[str, Any]:
        options = sig.options
        self.groups.append(str(options.setdefault("task_id", new_id())))
        return super().on_group_start(sig, **headers)

    def on_group_end(self, sig: Signature, **headers: Any) -> None:
        self.groups.pop()

    def on_signature(self, sig: Signature, **headers: Any) -> dict[str, Any]:
        return {"groups": list(self.groups), NAMES: ["groups"]}


def stamp(sig: Signature, visitor: StampingVisitor | None, headers: Mapping[str, Any], *, append: bool = False) -> None:
    """Stamp a signature and all that it is made of.

    Args:
        sig: The signature.
        visitor: Says what to stamp; None: the headers alone.
        headers: Stamps for all.
        append: Values of stamps that are there already, and new ones, become lists.
    """
    _Walk(visitor, append).visit(sig, _stamps(headers))


class _Walk:
    def __init__(self, visitor: StampingVisitor | None, append: bool) -> None:
        self._visitor = visitor
        self._append = append

    def visit(self, sig: Any, above: dict[str, Any]) -> None:
        visitor = self._visitor
        kind = sig.subtask_type
        if kind == "chord":
            self._header(sig.header, above)
            if sig.body is not None:
                more = {} if visitor is None else _stamps(visitor.on_chord_body(sig, **above))
                self.visit(sig.body, {**above, **more})
        elif kind in ("group", "chain"):
            start, end = ("on_group_start", "on_group_end") if kind == "group" else ("on_chain_start", "on_chain_end")
            self._all(sig, above, start, end)
        elif kind == "chunks":
            self.visit(sig.parts[0], above)
        else:
            own = {} if visitor is None else _stamps(visitor.on_signature(sig, **above))
            self._put(sig, {**above, **own})

    def _header(self, header: Any, above: dict[str, Any]) -> None:
        self._all(header, above, "on_chord_header_start", "on_chord_header_end")

    def _all(self, sig: Any, above: dict[str, Any], start: str, end: str) -> None:
        visitor = self._visitor
        inside = above if visitor is None else {**above, **_stamps(getattr(visitor, start)(sig, **above))}
        for one in sig.parts:
            self.visit(one, inside)
        if visitor is not None:
            getattr(visitor, end)(sig, **above)

    def _put(self, sig: Any, stamps: dict[str, Any]) -> None:
        options: dict[str, Any] = sig["options"] if "options" in sig else sig.setdefault("options", {})
        there: set[str] = set(options.get(NAMES) or ())
        for name, value in stamps.items():
            if self._append and name in there and options.get(name) != value:
                value = [*_listed(options[name]), *_listed(value)]
            options[name] = value
        if there or stamps:
            options[NAMES] = sorted(there | stamps.keys())
        for option, told in (("link", "on_callback"), ("link_error", "on_errback")):
            for linked in options.get(option) or ():
                more = {} if self._visitor is None else _stamps(getattr(self._visitor, told)(linked, **stamps))
                self._put(linked, {**stamps, **more})


def _stamps(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the headers that are stamps."""
    given = dict(headers or {})
    names = given.pop(NAMES, None)
    return given if names is None else {name: given[name] for name in names if name in given}


def _listed(value: Any) -> list[Any]:
    return list(cast("list[Any]", value)) if isinstance(value, (list, tuple, set)) else [value]
