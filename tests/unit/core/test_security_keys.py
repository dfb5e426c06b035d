"""Keys in settings: every way to say one, and that no wrong way shows it."""

import base64
import os
from pathlib import Path

import pytest

from celeriac import Celeriac
from celeriac.core.security import Guard, key_sources
from celeriac.errors import CeleriacWarning, ImproperlyConfigured

RAW = bytes(range(32))
TEXT = base64.urlsafe_b64encode(RAW).decode().rstrip("=")


def guard(**settings: object) -> Guard | None:
    return Celeriac("proj", broker="memory://keys", set_as_current=False, changes=settings).guard


@pytest.mark.parametrize(
    "value",
    [
        {"a": TEXT},
        {"a": TEXT + "="},
        {"a": base64.b64encode(RAW).decode()},
        {"a": f" {TEXT}\n"},
        {"a": RAW},
        [("a", TEXT)],
        (["a", RAW],),
        f"a={TEXT}",
    ],
    ids=["url-safe", "padded", "standard", "with space", "bytes", "pairs", "pair as list", "text"],
)
def test_every_way_to_say_a_key_says_the_same(value: object) -> None:
    first, same = guard(security_signing_keys={"a": TEXT}), guard(security_signing_keys=value)
    assert first is not None
    assert same is not None
    assert first._signing == same._signing


def test_a_key_in_a_file_and_one_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_text(TEXT + "\n")
    path.chmod(0o600)
    monkeypatch.setenv("PROJ_KEY", TEXT)
    ring = guard(security_signing_keys={"f": f"file:{path}", "e": "env:PROJ_KEY", "v": TEXT})
    assert ring is not None
    assert len(set(ring._signing.values())) == 1
    assert list(ring._signing) == ["f", "e", "v"]


def test_a_file_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(TEXT)
    path.chmod(0o644)
    with pytest.warns(CeleriacWarning, match="open to other users: chmod 600"):
        guard(security_signing_keys={"f": f"file:{path}"})


@pytest.mark.parametrize("setting", ["security_signing_keys", "security_encryption_keys"])
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("not base64, hunter2!", "is not base64"),
        (base64.b64encode(b"hunter2hunter2").decode(), "has 14 bytes"),
        ("env:NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE is not set"),
        ("file:/no/such/file", "/no/such/file cannot be read: No such file"),
        ("file:/tmp/\0x", "cannot be read"),
    ],
)
def test_a_wrong_key_is_an_error_that_does_not_show_it(setting: str, key: str, expected: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=expected) as caught:
        guard(**{setting: {"k1": key}})
    text = str(caught.value)
    assert setting in text
    assert "'k1'" in text
    assert "hunter2" not in text
    assert base64.b64encode(b"hunter2").decode()[:8] not in text


def test_an_encryption_key_has_exactly_32_bytes_and_a_signing_key_may_have_more() -> None:
    longer = base64.b64encode(os.urandom(64)).decode()
    assert guard(security_signing_keys={"a": longer}) is not None
    with pytest.raises(ImproperlyConfigured, match="must have exactly 32"):
        guard(security_encryption_keys={"a": longer})
    with pytest.raises(ImproperlyConfigured, match="must have at least 32"):
        guard(security_signing_keys={"a": base64.b64encode(os.urandom(4096)).decode()})


@pytest.mark.parametrize(
    "value",
    ["hunter2", {}, {"": "hunter2"}, {"a b": "hunter2"}, {"a": 7}, {"a": ""}, {"a": "ftp:hunter2"}, 7, ["hunter2"],
     [("a", "hunter2"), ("a", "hunter2")]],
)  # fmt: skip
def test_a_value_of_another_form_is_an_error_that_does_not_show_it(value: object) -> None:
    with pytest.raises(
        ImproperlyConfigured, match=r"^setting security_signing_keys = \*\*\*: must be a dict"
    ) as caught:
        guard(security_signing_keys=value)
    assert "hunter2" not in str(caught.value)


def test_keys_are_not_shown() -> None:
    app = Celeriac("proj", broker="memory://keys", set_as_current=False, security_signing_keys={"a": TEXT})
    for shown in (
        repr(app.conf),
        app.conf.humanize(),
        repr(app.conf.security_signing_keys),
        repr(dict(app.conf)),
        repr(app.guard),
        repr(key_sources({"a": RAW})),
    ):
        assert TEXT[:12] not in shown
        assert repr(RAW)[2:20] not in shown


def test_without_keys_there_is_no_guard() -> None:
    assert guard() is None
    assert guard(security_required=True, security_replay_window=5) is None


def test_the_guard_is_made_anew_when_its_settings_change_and_not_otherwise() -> None:
    app = Celeriac("proj", broker="memory://keys", set_as_current=False, security_signing_keys={"a": TEXT})
    first, broker = app.guard, app.broker
    app.conf.task_default_queue = "other"
    assert app.guard is first
    assert app.broker is broker
    app.conf.security_required = False
    assert app.guard is not first
    assert app.broker is not broker
