"""Every form of URL that Celery and redis-py know leads to the same server here; what is wrong is named."""

import ssl

import pytest

from celeriac import Celeriac
from celeriac.brokers.redis.location import Address, Location, Login, Tls
from celeriac.brokers.redis.url import SCHEMES, merge, parse
from celeriac.core.settings_table import SETTINGS
from celeriac.errors import ImproperlyConfigured, UnknownSettingWarning


def single(host: str = "localhost", port: int = 6379, **fields: object) -> Location:
    return Location(mode="single", addresses=(Address(host, port),), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("redis://", single()),
        ("redis://h", single("h")),
        ("REDIS://h:1/3", single("h", 1, db=3)),
        ("redis://h/?db=3", single("h", db=3)),
        ("redis://:pw@h", single("h", login=Login(None, "pw"))),
        ("redis://u:p%40%2F@h", single("h", login=Login("u", "p@/"))),
        ("redis://h?username=u&password=p", single("h", login=Login("u", "p"))),
        ("redis://[::1]:5/1", single("::1", 5, db=1)),
        ("valkey://h", single("h")),
        ("valkeys://h", single("h", tls=Tls())),
        ("redis://h?ssl=true", single("h", tls=Tls())),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", single("h", tls=Tls(cert_reqs="none", check_hostname=False))),
        ("rediss://h?ssl_cert_reqs=none", single("h", tls=Tls(cert_reqs="none", check_hostname=False))),
        ("rediss://h?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/ca", single("h", tls=Tls(ca_certs="/ca"))),
        (
            "rediss://h?ssl_certfile=/c&ssl_keyfile=/k&ssl_check_hostname=false",
            single("h", tls=Tls(certfile="/c", keyfile="/k", check_hostname=False)),
        ),
        ("redis+socket:///run/r.sock?virtual_host=2", single("/run/r.sock", 0, db=2)),
        ("unix:///run/r.sock?db=2", single("/run/r.sock", 0, db=2)),
        ("unix://:p@/run/r.sock", single("/run/r.sock", 0, login=Login(None, "p"))),
        ("redis://h?socket_timeout=2&socket_connect_timeout=1", single("h", timeout=2.0, connect_timeout=1.0)),
        ("redis://h?global_keyprefix=x&partitions=4", single("h", prefix="x", partitions=4)),
        ("redis://h?visibility_timeout=3600&health_check_interval=3", single("h")),
        (
            "sentinel://a;sentinel://:pw@b:1/2?master_name=m&sentinel_password=s",
            Location(
                mode="sentinel",
                addresses=(Address("a", 26379, True), Address("b", 1, True)),
                db=2,
                login=Login(None, "pw"),
                sentinel_login=Login(None, "s"),
                master="m",
            ),
        ),
        ("redis+cluster://a,b:2", Location(mode="cluster", addresses=(Address("a", 6379), Address("b", 2)))),
        ("redis://a?cluster=true", Location(mode="cluster", addresses=(Address("a", 6379),))),
    ],
)
def test_a_url_says_where_the_server_is(url: str, location: Location) -> None:
    assert parse(url) == location


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://h?tmeout=3", "did you mean 'timeout'"),
        ("redis://h?nonsense=3", "Known parameters are"),
        ("redis://h/x", "must be a number"),
        ("redis://h/1?db=2", "named twice"),
        ("redis://h:x", "port must be"),
        ("redis://h:70000", "port must be"),
        ("redis://::1", "in brackets"),
        ("redis://a,b", "sentinel://"),
        ("redis://a;rediss://b", "same scheme"),
        ("sentinel://a", "master_name"),
        ("sentinel://a?master_name=m&cluster=true", "exclude"),
        ("redis+cluster://a/1", "no database but 0"),
        ("redis://h?timeout=0", "seconds above 0"),
        ("redis://h?timeout=nan", "seconds above 0"),
        ("redis://h?partitions=0", "whole number from 1"),
        ("redis://h?ssl=maybe", "true or false"),
        ("redis://h?prefix=a{b", "braces"),
        ("rediss://h?ssl_cert_reqs=some", "required, optional or none"),
        ("unix://run/r.sock", "begins with a slash"),
    ],
)
def test_what_is_wrong_is_named(url: str, words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        parse(url)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_password_is_shown(scheme: str) -> None:
    query = "?master_name=m&password=s3cret&sentinel_password=s3cret"
    place = "/run/r.sock" if scheme in ("redis+socket", "unix") else "h:1"
    location = parse(f"{scheme}://user:s3cret@{place}{query}")
    assert location.login.password == "s3cret"
    assert "s3cret" not in repr(location) + str(location) + location.name
    for wrong in ("&nonsense=1", "&partitions=x"):
        with pytest.raises(ImproperlyConfigured) as caught:
            parse(f"{scheme}://user:s3cret@{place}{query}{wrong}")
        assert "s3cret" not in str(caught.value)
    if place == "h:1":
        with pytest.raises(ImproperlyConfigured) as caught:
            parse(f"{scheme}://user:s3cret/x@{place}{query}")
        assert "s3cret" not in str(caught.value)


def test_options_of_settings_become_parameters_and_the_url_counts_more() -> None:
    options = {
        "global_keyprefix": "mine",
        "socket_timeout": 3,
        "master_name": "m",
        "sentinel_kwargs": {"password": "s"},
        "visibility_timeout": 3600,
        "tmeout": 1,
    }
    url, unknown = merge("sentinel://h/0?prefix=yours", options, {"ssl_cert_reqs": ssl.CERT_NONE})
    location = parse(url)
    assert (location.prefix, location.timeout, location.master) == ("yours", 3.0, "m")
    assert location.sentinel_login == Login(None, "s")
    assert location.tls == Tls(cert_reqs="none", check_hostname=False)
    assert unknown == [("tmeout", "timeout")]
    assert merge("redis://h", {}) == ("redis://h", [])


def test_an_app_passes_its_settings_on() -> None:
    app = Celeriac(broker="redis://h", backend="redis://h/1")
    app.conf.broker_transport_options = {"global_keyprefix": "b", "nonsense": 1}
    app.conf.result_backend_transport_options = {"global_keyprefix": "r"}
    app.conf.broker_operation_timeout = 2.5
    app.conf.redis_backend_use_ssl = {"ssl_ca_certs": "/ca"}
    with pytest.warns(UnknownSettingWarning, match="broker_transport_options: unknown option 'nonsense'"):
        broker, backend = map(str, app.urls())
    assert parse(broker) == single("h", prefix="b", timeout=2.5)
    assert parse(backend) == single("h", db=1, prefix="r", timeout=2.5, tls=Tls(ca_certs="/ca"))


def test_defaults_are_those_of_the_settings() -> None:
    assert single().timeout == SETTINGS["broker_operation_timeout"].default
    assert single().connect_timeout == SETTINGS["broker_connection_timeout"].default
