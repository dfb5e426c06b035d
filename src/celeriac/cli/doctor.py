"""``celeriac doctor``: whether a broker and a result store are fit for use, and what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from celeriac.cli.session import Session, pass_session
from celeriac.core.redact import redact_url

if TYPE_CHECKING:
    from celeriac.brokers.port import Finding

_CODES: Final = {"ok": 0, "advice": 0, "warning": 1, "error": 2}
_STYLES: Final = {"ok": "green", "advice": "cyan", "warning": "yellow", "error": "bold red"}
_LEVEL: Final = max(map(len, _STYLES))


@click.command()
@click.argument("url", required=False)
@click.option("--self-test", is_flag=True, help="Also send a task through a queue of its own, and clean up.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Write JSON.")
@pass_session
def doctor(session: Session, /, url: str | None, self_test: bool, as_json: bool) -> int:
    """Examine a store and say what to change: the broker or result store at URL, or both of the app's.

    Nothing is written, unless --self-test is given. The exit code is 0 if all is well or there is only advice, 1 with
    warnings, 2 with errors or where a store cannot be reached.
    """
    from celeriac.app.doctor import worst

    stores = _examined(session, url, self_test=self_test)
    level = worst(finding for _, _, findings in stores for finding in findings)
    if as_json:
        session.out.json({"level": level, "stores": [_plain(*store) for store in stores]})
        return _CODES[level]
    for role, place, findings in stores:
        session.out.line(f"[{role}] {place}", "bold")
        _write(session, findings)
        session.out.line()
    counts = {name: sum(one.level == name for _, _, found in stores for one in found) for name in _CODES}
    text = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    session.out.line(f"{text}.", _STYLES[level])
    return _CODES[level]


def _write(session: Session, findings: list[Finding]) -> None:
    """Write what was found, and below it, in a line of its own and so easy to copy, what to change."""
    width = max((len(one.subject) for one in findings), default=0)
    for one in findings:
        style = None if one.level == "ok" else _STYLES[one.level]
        session.out.line(f"{one.level:<{_LEVEL}}  {one.subject:<{width}}  {one.text}", style)
        if one.remedy:
            session.out.line(f"{'':<{_LEVEL + width + 2}}  -> {one.remedy}")


def _examined(session: Session, url: str | None, *, self_test: bool) -> list[tuple[str, str, list[Finding]]]:
    """Return what each store is, its URL without a password, and what was found."""
    from celeriac.app.doctor import examine_broker, examine_store, try_out, worst
    from celeriac.brokers import open_broker
    from celeriac.core.clock import SYSTEM
    from celeriac.results import keeps_no_messages, open_results

    if url is not None and keeps_no_messages(url):
        with open_results(url) as store:
            return [("result store", redact_url(url), examine_store(store, SYSTEM))]
    broker = session.app.broker if url is None else open_broker(url)
    try:
        findings = examine_broker(broker, SYSTEM)
        if self_test and worst(findings) != "error":
            findings += try_out(broker)
    finally:
        if url is not None:
            broker.close()
    if url is not None:
        return [("broker", redact_url(url), findings)]
    app = session.app
    broker_url, backend_url = app.urls()
    stores = [("broker", redact_url(broker_url), findings)]
    if backend_url is not None and not app.results_share_broker:
        stores.append(("result store", redact_url(backend_url), examine_store(app.backend, SYSTEM)))
    return stores


def _plain(role: str, place: str, findings: list[Finding]) -> dict[str, Any]:
    shown = [{"level": one.level, "subject": one.subject, "text": one.text, "remedy": one.remedy} for one in findings]
    return {"role": role, "url": place, "findings": shown}
