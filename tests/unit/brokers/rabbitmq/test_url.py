"""URLs of RabbitMQ."""

from __future__ import annotations

import pytest

from celeriac.brokers.rabbitmq.url import HEARTBEAT, HEARTBEAT_OF_PAIR, Address, parse
from celeriac.errors import ImproperlyConfigured


@pytest.mark.parametrize(
    ("url", "address", "login", "vhost"),
    [
        ("amqp://", Address("127.0.0.1", 5672), ("guest", "guest"), "/"),
        ("amqp://h", Address("h", 5672), ("guest", "guest"), "/"),
        ("amqp://h//", Address("h", 5672), ("guest", "guest"), "/"),
        ("amqp://h/%2F", Address("h", 5672), ("guest", "guest"), "/"),
        ("pyamqp://me:p%40w@h:1234/v", Address("h", 1234), ("me", "p@w"), "v"),
        ("rabbitmq://me:@[::1]/a%2Fb", Address("::1", 5672), ("me", ""), "a/b"),
        ("amqps://h/v", Address("h", 5671), ("guest", "guest"), "v"),
    ],
)
def test_forms(url: str, address: Address, login: tuple[str, str], vhost: str) -> None:
    location = parse(url)
    assert (location.addresses, (location.user, location.password), location.vhost) == ((address,), login, vhost)
    assert (location.tls is not None) == url.startswith("amqps")


def test_several_servers() -> None:
    location = parse("amqp://me:pw@a:1/v;amqp://b:2;c")
    assert location.addresses == (Address("a", 1), Address("b", 2), Address("c", 5672))
    assert (location.user, location.vhost) == ("me", "v")


def test_options() -> None:
    location = parse(
        "amqps://h/?queue_type=classic&timeout=2.5&heartbeat=0&ssl_ca_certs=ca.pem&ssl_cert_reqs=CERT_NONE"
    )
    assert (location.queue_type, location.timeout, location.heartbeat) == ("classic", 2.5, 0)
    assert location.tls is not None
    assert (location.tls.cacertfile, location.tls.verify) == ("ca.pem", False)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("amqp://me:s3cret@h:notaport/", "port"),
        ("amqp://me:s3cret@h/?timeouts=3", "did you mean 'timeout'"),
        ("amqp://me:s3cret@h/?timeout=x", "timeout=x"),
        ("amqp://me:s3cret@h/?queue_type=stream", "quorum or classic"),
        ("amqp://me:s3cret@h/?cacertfile=x", "amqps"),
        ("amqps://me:s3cret@h/?verify=maybe", "verify_peer"),
    ],
)
def test_mistakes_are_named_and_passwords_are_not(url: str, says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says) as caught:
        parse(url)
    assert "s3cret" not in str(caught.value)


def test_a_location_does_not_show_its_password() -> None:
    assert "s3cret" not in repr(parse("amqp://me:s3cret@h"))


def test_who_has_a_store_hears_sooner_of_a_machine_that_is_gone() -> None:
    assert parse("amqp://h").heartbeat == HEARTBEAT
    assert parse("amqp://h", heartbeat=HEARTBEAT_OF_PAIR).heartbeat == HEARTBEAT_OF_PAIR
    assert parse("amqp://h;amqp://i?heartbeat=7", heartbeat=HEARTBEAT_OF_PAIR).heartbeat == HEARTBEAT_OF_PAIR
    assert parse("amqp://h?heartbeat=7", heartbeat=HEARTBEAT_OF_PAIR).heartbeat == 7
    assert 3 * HEARTBEAT_OF_PAIR < 10
