"""Where a Redis server, its Sentinels or the nodes of its Cluster are, and how to speak to them."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
PREFIX: Final = "celeriac"
TIMEOUT: Final = 5.0
CONNECT_TIMEOUT: Final = 4.0
MAX_CONNECTIONS: Final = 10

Mode = Literal["single", "sentinel", "cluster"]


class Address(NamedTuple):
    """Where one server listens. With port 0 the host is the path of a socket.

    Attributes:
        host: Name or number of the host, or the path.
        port: Its port.
        sentinel: It is a Sentinel, which has a login of its own.
    """

    host: str
    port: int
    sentinel: bool = False

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """How to speak TLS.

    Attributes:
        cert_reqs: ``required``: the server must show a certificate of an authority that we know; ``none``: anything
            goes, so anybody may listen; ``optional`` is the same as required for a client.
        ca_certs: File with the authorities' certificates; None means those of the system.
        certfile: File with our certificate, where the server wants one.
        keyfile: File with its key.
        check_hostname: The certificate must be for the host that we asked for.
    """

    cert_reqs: Literal["required", "optional", "none"] = "required"
    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    check_hostname: bool = True


class Login(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A user and a password; the password is never shown."""

    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        hidden = None if self.password is None else "***"
        return f"Login(username={self.username!r}, password={hidden!r})"


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """What a URL says, with every default filled in.

    Attributes:
        mode: One server; the master that Sentinels name; or a Cluster.
        addresses: The server, the Sentinels, or some nodes of the Cluster.
        db: Number of the database.
        login: For the server.
        sentinel_login: For the Sentinels.
        tls: None speaks plainly.
        master: Under which name the Sentinels know the master.
        prefix: With what all keys begin, in braces.
        partitions: Over how many slots of a Cluster the queues are spread.
        timeout: Seconds for one operation, with all its attempts.
        connect_timeout: Seconds for one attempt to connect.
        max_connections: Most connections to one server for each event loop. Threads have one each, while they use it.
        client_name: What the server calls our connections; None leaves them without a name.
    """

    mode: Mode
    addresses: tuple[Address, ...]
    db: int = 0
    login: Login = Login()
    sentinel_login: Login = Login()
    tls: Tls | None = None
    master: str | None = None
    prefix: str = PREFIX
    partitions: int = 1
    timeout: float = TIMEOUT
    connect_timeout: float = CONNECT_TIMEOUT
    max_connections: int = MAX_CONNECTIONS
    client_name: str | None = None

    @property
    def name(self) -> str:
        """What to call it in front of people: without passwords."""
        places = ",".join(map(str, self.addresses))
        secure = "s" if self.tls is not None else ""
        match self.mode:
            case "sentinel":
                return f"Redis master {self.master!r} (Sentinels {places})"
            case "cluster":
                return f"Redis Cluster redis{secure}+cluster://{places}"
            case "single":
                if not self.addresses[0].port:
                    return f"Redis server at the socket {places}"
                return f"Redis server redis{secure}://{places}/{self.db}"
