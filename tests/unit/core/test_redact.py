"""What must not be shown is not shown."""

import pytest

from celeriac.core.redact import is_secret, redact, redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:pw@h:6379/0", "redis://:***@h:6379/0"),
        ("amqp://user:pw@h//", "amqp://user:***@h//"),
        ("amqp://user:p@w/rd@h//", "amqp://user:***@h//"),
        ("amqp://user@h//", "amqp://user@h//"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("sqlite:////var/lib/a@b.db", "sqlite:////var/lib/a@b.db"),
        ("sqlite:///relative.db?mode=ro", "sqlite:///relative.db?mode=ro"),
        ("postgresql://h/db?user=u&password=pw&sslmode=off", "postgresql://h/db?user=u&password=***&sslmode=off"),
        ("sentinel://:a@h1:1;sentinel://:b@h2:2", "sentinel://:***@h1:1;sentinel://:***@h2:2"),
        ("postgresql+psycopg://u:pw@[::1]:5432/db", "postgresql+psycopg://u:***@[::1]:5432/db"),
        ("memory://", "memory://"),
    ],
)
def test_passwords_in_urls(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@pytest.mark.parametrize("name", ["password", "DB_PASSWD", "apiKey", "api_key", "x-api-key", "sessionid", "AuthToken"])
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["user", "key", "monkey", "author", "tokenise"[:3], 5, None])
def test_names_of_no_secrets(name: object) -> None:
    assert not is_secret(name)


def test_values_are_looked_into() -> None:
    value = {"urls": ["redis://:pw@h"], "options": {"password": "pw", "db": 0}, "pair": ("a", {"token": None})}
    assert redact(value) == {
        "urls": ["redis://:***@h"],
        "options": {"password": "***", "db": 0},
        "pair": ("a", {"token": None}),
    }
    assert redact("x", name="redis_password") == "***"
    assert value["options"] == {"password": "pw", "db": 0}
