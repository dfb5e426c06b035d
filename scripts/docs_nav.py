"""The navigation of the documentation, made from the files that are there.

MkDocs calls ``on_config`` (see ``hooks`` in mkdocs.yml). The sections and their order are in mkdocs.yml under
``extra.sections``; a page appears in its section as soon as its file exists, sorted by file name with ``index.md``
first, titled by its own first heading. A page in no section stands at the top, so that none is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class SiteConfig(Protocol):
    """What is used here of MkDocs' configuration."""

    docs_dir: str
    extra: Mapping[str, Any]
    nav: list[Any] | None


def on_config(config: SiteConfig) -> SiteConfig:
    """Fill in the navigation."""
    sections: Mapping[str, str] = config.extra["sections"]
    config.nav = navigation(Path(config.docs_dir), sections)
    return config


def navigation(docs: Path, sections: Mapping[str, str]) -> list[Any]:
    """Return the nav of a docs folder.

    Args:
        docs: the folder with the pages.
        sections: folder name below ``docs`` to section title, in the order wanted.
    """
    pages = sorted((page.relative_to(docs) for page in docs.rglob("*.md")), key=_index_first)
    nav: list[Any] = [page.as_posix() for page in pages if page.parts[0] not in sections]
    for folder, title in sections.items():
        if found := list(_under(folder, pages)):
            nav.append({title: found})
    return nav


def _under(folder: str, pages: Iterable[Path]) -> Iterable[str]:
    return (page.as_posix() for page in pages if page.parts[0] == folder)


def _index_first(page: Path) -> tuple[str, bool, str]:
    return (page.parent.as_posix(), page.name != "index.md", page.name)
