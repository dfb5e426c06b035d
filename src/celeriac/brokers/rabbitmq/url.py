"""What an ``amqp://`` URL says.

The form is that of the RabbitMQ URI specification (https://www.rabbitmq.com/docs/uri-spec): ``amqp://user:password@
host:port/vhost?heartbeat=10``. As with Celery, several servers are several URLs with ``;`` between them, ``pyamqp://``
and ``rabbitmq://`` are ``amqp://``, and ``amqp://host//`` names the virtual host ``/``.
"""

from __future__ import annotations

import difflib
import re
import ssl
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from celeriac.brokers.parameters import parameter, seconds, switch
from celeriac.brokers.rabbitmq.topology import QUEUE_TYPES
from celeriac.core.redact import redact_url
from celeriac.errors import ImproperlyConfigured

SCHEMES: Final = ("amqp", "amqps", "pyamqp", "rabbitmq")
HEARTBEAT: Final = 30
"""Seconds, where the connection is the lease: a task may hold up its whole process for a while."""
HEARTBEAT_OF_PAIR: Final = 2
"""Seconds, where a store has the leases, and a connection that is given up costs nothing but another. What was sent to
a process whose machine is gone, or that a task holds up, goes to others when the server has heard nothing for two to
three heartbeats: well within 10 seconds."""
TIMEOUT: Final = 5.0
_VERIFY: Final = {
    "verify_peer": ssl.CERT_REQUIRED,
    "cert_required": ssl.CERT_REQUIRED,
    "required": ssl.CERT_REQUIRED,
    "verify_none": ssl.CERT_NONE,
    "cert_none": ssl.CERT_NONE,
    "none": ssl.CERT_NONE,
}
_SAME: Final = {
    "ssl_ca_certs": "cacertfile",
    "ca_certs": "cacertfile",
    "ssl_certfile": "certfile",
    "ssl_keyfile": "keyfile",
    "ssl_cert_reqs": "verify",
    "cert_reqs": "verify",
    "ssl_check_hostname": "check_hostname",
    "connect_timeout": "timeout",
    "connection_timeout": "timeout",
}
PARAMETERS: Final = (
    "cacertfile",
    "certfile",
    "check_hostname",
    "heartbeat",
    "keyfile",
    "name",
    "queue_type",
    "timeout",
    "verify",
)


class Address(msgspec.Struct, frozen=True):
    """Where one server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """How to speak TLS.

    Attributes:
        cacertfile: Authorities to trust; None for the system's.
        certfile, keyfile: What we show; None for nothing.
        verify: Whether the server must show a certificate that an authority vouches for.
        check_hostname: Whether that certificate must be for this host.
    """

    cacertfile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    verify: bool = True
    check_hostname: bool = True

    def context(self) -> ssl.SSLContext:
        """Return what asyncio takes.

        Raises:
            ImproperlyConfigured: A file cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=self.cacertfile)
            if self.certfile is not None:
                context.load_cert_chain(self.certfile, self.keyfile)
        except (OSError, ssl.SSLError) as exc:
            named = ", ".join(one for one in (self.cacertfile, self.certfile, self.keyfile) if one)
            raise ImproperlyConfigured(f"the TLS files {named} of the broker URL cannot be used: {exc}") from exc
        if not self.check_hostname or not self.verify:
            context.check_hostname = False
        if not self.verify:
            context.verify_mode = ssl.CERT_NONE
        return context


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Which server, and how to treat it.

    Attributes:
        addresses: Servers of one cluster; tried in this order, beginning with the one that worked last.
        user, password: The login.
        vhost: The virtual host.
        tls: None without TLS.
        heartbeat: Seconds between heartbeats; 0 for none.
        timeout: Most seconds that one operation takes, reconnecting included.
        queue_type: Type of the queues that are declared: ``quorum`` or ``classic``; None: as the settings say.
        name: What the server shows for the connection.
    """

    addresses: tuple[Address, ...]
    user: str = "guest"
    password: str = "guest"  # RabbitMQ's own default.
    vhost: str = "/"
    tls: Tls | None = None
    heartbeat: int = HEARTBEAT
    timeout: float = TIMEOUT
    queue_type: str | None = None
    name: str = "celeriac"

    def __repr__(self) -> str:
        where = ", ".join(map(str, self.addresses))
        return f"Location({where}, user={self.user!r}, vhost={self.vhost!r}, tls={self.tls is not None})"


_AUTHORITY: Final = re.compile(r"(?:(?P<login>.*)@)?(?P<host>\[[^\]]*\]|[^:@/]*)(?::(?P<port>[^:@/]*))?$", re.DOTALL)


def parse(url: str, *, heartbeat: int = HEARTBEAT) -> Location:
    """Return what the URL says.

    Args:
        url: The URL.
        heartbeat: Seconds between heartbeats, unless it says.

    Raises:
        ImproperlyConfigured: It is not such a URL; the text shows it without its password.
    """
    parts = [part.strip() for part in url.split(";") if part.strip()]
    first = _parse_one(parts[0], heartbeat)
    addresses = list(first.addresses)
    for part in parts[1:]:
        more = _parse_one(part if "://" in part else f"{parts[0].partition('://')[0]}://{part}", heartbeat)
        addresses += more.addresses
    return msgspec.structs.replace(first, addresses=tuple(dict.fromkeys(addresses)))


def _parse_one(url: str, heartbeat: int) -> Location:
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    shown = redact_url(url)
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    found = _AUTHORITY.match(authority)
    if scheme not in SCHEMES or found is None:
        raise ImproperlyConfigured(f"{shown!r} is no RabbitMQ URL, as in amqp://user:password@host:5672/vhost")
    options = _options(shown, query)
    tls = _tls(shown, options) if scheme == "amqps" else None
    if tls is None and any(name in options for name in ("cacertfile", "certfile", "keyfile", "verify")):
        raise ImproperlyConfigured(f"{shown!r}: certificates need TLS: write amqps://")
    user, colon, password = (found["login"] or "").partition(":")
    vhost = unquote(path) if slash and path else "/"
    if len(vhost) > 1 and vhost.endswith("/") and path == "/":
        vhost = "/"
    return Location(
        addresses=(Address((found["host"] or "127.0.0.1").strip("[]"), _port(shown, found["port"], tls is not None)),),
        user=unquote(user) if user else "guest",
        password=unquote(password) if colon else "guest",
        vhost=vhost,
        tls=tls,
        heartbeat=int(parameter(shown, "heartbeat", options.get("heartbeat", str(heartbeat)), seconds(3600, least=0))),
        timeout=parameter(shown, "timeout", options.get("timeout", str(TIMEOUT)), seconds(3600, least=0.1)),
        queue_type=_choice(shown, "queue_type", options["queue_type"], QUEUE_TYPES)
        if "queue_type" in options
        else None,
        name=options.get("name", "celeriac"),
    )


def _port(shown: str, text: str | None, tls: bool) -> int:
    if not text:
        return 5671 if tls else 5672
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ImproperlyConfigured(f"{shown!r}: the port must be a number from 1 to 65535")
    return int(text)


def _options(shown: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for given, value in parse_qsl(query, keep_blank_values=True):
        name = _SAME.get(given, given)
        if name not in PARAMETERS:
            near = difflib.get_close_matches(given, [*PARAMETERS, *_SAME], n=1)
            guess = f"; did you mean {near[0]!r}?" if near else "."
            raise ImproperlyConfigured(
                f"{shown!r}: unknown parameter {given!r}{guess} Known parameters are {', '.join(PARAMETERS)}"
            )
        options[name] = value
    return options


def _tls(shown: str, options: dict[str, Any]) -> Tls:
    verify = options.get("verify", "verify_peer").lower()
    if verify not in _VERIFY:
        raise ImproperlyConfigured(f"{shown!r}: verify={verify} must be verify_peer or verify_none")
    return Tls(
        cacertfile=options.get("cacertfile"),
        certfile=options.get("certfile"),
        keyfile=options.get("keyfile"),
        verify=_VERIFY[verify] is ssl.CERT_REQUIRED,
        check_hostname=parameter(shown, "check_hostname", options.get("check_hostname", "true"), switch),
    )


def _choice(shown: str, name: str, text: str, choices: tuple[str, ...]) -> str:
    if text.lower() not in choices:
        raise ImproperlyConfigured(f"{shown!r}: {name}={text} must be {' or '.join(choices)}")
    return text.lower()
