"""How the values of a URL's parameters are read."""

from __future__ import annotations

import pytest

from celeriac.brokers.parameters import parameter, seconds, switch, whole
from celeriac.errors import ImproperlyConfigured


def test_values() -> None:
    assert [parameter("x://", "a", text, switch) for text in ("true", "ON", "1", "no", "False", "0")] == [
        *[True] * 3,
        *[False] * 3,
    ]
    assert parameter("x://", "a", "0.5", seconds(3600)) == 0.5
    assert parameter("x://", "a", "0", seconds(3600, least=0)) == 0
    assert parameter("x://", "a", "-1", whole(-1)) == -1


@pytest.mark.parametrize(
    ("text", "read", "wanted"),
    [
        ("maybe", switch, "true or false"),
        ("", switch, "true or false"),
        ("0", seconds(60), "seconds above 0, at most 60"),
        ("nan", seconds(60), "seconds above 0, at most 60"),
        ("61", seconds(60, least=0.1), "seconds from 0.1 to 60"),
        ("soon", seconds(60, least=0), "seconds from 0 to 60"),
        ("1.5", whole(1, 9), "a whole number from 1 to 9"),
        ("10", whole(1, 9), "a whole number from 1 to 9"),
        ("٣", whole(1, 9), "a whole number from 1 to 9"),
        ("-2", whole(-1), "a whole number, at least -1"),
        ("5", whole(4096, of="bytes"), "a whole number of bytes, at least 4096"),
    ],
)
def test_what_is_wrong_is_said(text: str, read: object, wanted: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        parameter("x://host", "limit", text, read)  # type: ignore[arg-type]
    assert str(caught.value) == f"'x://host': limit={text} must be {wanted}"
