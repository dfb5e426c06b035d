"""Private Redis servers for tests, as context managers: started on a free port of this machine, in a folder of their
own, ended by their own pid.

    with RedisServer() as server:
        app = Celeriac(broker=server.url)
        server.kill()                  # as a loss of power to the process; what is on disk stays
        server.start()                 # on the same port

The variable ``CELERIAC_REDIS_SERVER`` names another program to use (another version of Redis, or Valkey).
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import quote

import redis

from scripts.ensure_server import ensure_server
from tests.support.freezing import freeze
from tests.support.waiting import wait_for

PORTS: Final = range(10_240, 22_000)
"""Below the ports that systems give to outgoing connections, so that a server can come back to its port; a cluster's
second port is 10,000 above the first."""
READY_WITHIN: Final = 20.0
PATIENT: Final = 600_000
"""Milliseconds after which Sentinels take a silent server for failed, where no test waits for that."""


def program() -> str:
    """Return the path of the server's program; installed if it is missing."""
    return os.environ.get("CELERIAC_REDIS_SERVER") or str(ensure_server("redis-server"))


def free_port(*, bus: bool = False) -> int:
    """Return a port that nobody listens on; with ``bus``, the one 10,000 above it is free, too."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with contextlib.suppress(OSError), socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", port))
            if bus:
                second.bind(("127.0.0.1", port + 10_000))
            return port


class RedisServer:
    """One server. It is empty and keeps nothing on disk unless told so.

    Args:
        appendonly: Keep a log of writes on disk.
        fsync: How often that log is forced to disk: ``always``, ``everysec`` or ``no``.
        password: What clients must give.
        maxmemory: Most bytes, as in ``8mb``; None for no bound. Nothing is evicted (``noeviction``).
        tls: Certificates to speak TLS with, and nothing else; see :class:`Certificates`.
        client_certificates: With TLS, clients must show a certificate of the same authority.
        unix: Listen on a socket in the file system, and on no port.
        options: Further configuration, for instance ``{"maxmemory-policy": "allkeys-lru"}``.
        arguments: Further arguments of the program, for instance ``("--sentinel",)``.

    Attributes:
        folder: Its files; removed when it is closed.
        port: The same in all its lives.
    """

    def __init__(
        self,
        *,
        appendonly: bool = False,
        fsync: Literal["always", "everysec", "no"] = "everysec",
        password: str | None = None,
        maxmemory: str | None = None,
        tls: Certificates | None = None,
        client_certificates: bool = False,
        unix: bool = False,
        options: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.folder: Final = Path(tempfile.mkdtemp(prefix="celeriac-redis-"))
        self.password: Final = password
        self.tls: Final = tls
        self.port: Final = free_port(bus=bool(options and "cluster-enabled" in options))
        self.socket: Final = self.folder / "redis.sock" if unix else None
        self._client_certificates: Final = client_certificates
        self._arguments: Final = tuple(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._appendonly: Final = appendonly
        settings = {
            "bind": "127.0.0.1",
            "port": "0" if tls or unix else str(self.port),
            "dir": str(self.folder),
            "logfile": str(self.folder / "redis.log"),
            "daemonize": "no",
        }
        if "--sentinel" not in arguments:
            settings |= {
                "save": '""',
                "appendonly": "yes" if appendonly else "no",
                "appendfsync": fsync,
                "maxmemory-policy": "noeviction",
            }
        if password is not None:
            settings |= {"requirepass": f'"{password}"', "masterauth": f'"{password}"'}
        if maxmemory is not None:
            settings["maxmemory"] = maxmemory
        if tls is not None:
            settings |= {
                "tls-port": str(self.port),
                "tls-cert-file": str(tls.certificate),
                "tls-key-file": str(tls.key),
                "tls-ca-cert-file": str(tls.authority),
                "tls-auth-clients": "yes" if client_certificates else "no",
                "tls-replication": "yes",
            }
        if self.socket is not None:
            settings["unixsocket"] = str(self.socket)
        settings |= options or {}
        self._config: Final = self.folder / "redis.conf"
        self._config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))

    # Its life

    def start(self) -> None:
        """Start it and wait until it answers; on the same port and with the files that it had, if any."""
        assert self._process is None, "the server runs already"
        self._process = subprocess.Popen(
            (program(), str(self._config), *self._arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._answers, READY_WITHIN, f"an answer of {self.folder}\n{self.log}")

    def stop(self) -> None:
        """Ask it to end, and wait: what it keeps on disk is complete."""
        if self._process is not None:
            self.resume()
            self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def restart(self, *, data: bool = True, kill: bool = False) -> None:
        """End it and start it again.

        Args:
            data: With what it held. One without a log saves it first, unless it is killed. False: empty-handed.
            kill: End it by SIGKILL.
        """
        if data and not kill and not self._appendonly and self._process is not None:
            with self.client() as client:
                client.save()
        (self.kill if kill else self.stop)()
        if not data:
            self.wipe()
        self.start()

    def wipe(self) -> None:
        """Remove what it keeps on disk; it must not run."""
        assert self._process is None, "the server runs"
        (self.folder / "dump.rdb").unlink(missing_ok=True)
        (self.folder / "appendonly.aof").unlink(missing_ok=True)  # Before Redis 7 the log is one file.
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)

    def pause(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections are accepted by the system, and nothing answers."""
        if self._process is not None:
            freeze([self._process.pid])

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its files. Safe to call twice."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # What tests ask of it

    @property
    def pid(self) -> int:
        """The pid of its process."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        """What to pass as ``broker``."""
        user = f":{quote(self.password, safe='')}@" if self.password else ""
        if self.socket is not None:
            return f"redis+socket://{user}{self.socket}"
        if self.tls is None:
            return f"redis://{user}127.0.0.1:{self.port}/0"
        query = f"?ssl_ca_certs={self.tls.authority}"
        if self._client_certificates:
            query += f"&ssl_certfile={self.tls.certificate}&ssl_keyfile={self.tls.key}"
        return f"rediss://{user}127.0.0.1:{self.port}/0{query}"

    @property
    def log(self) -> str:
        """The end of what it logged."""
        path = self.folder / "redis.log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else "it logged nothing"

    @contextlib.contextmanager
    def client(self, *, timeout: float = 5.0) -> Iterator[redis.Redis]:
        """Lend a client of its own: for looking at the server past Celeriac."""
        common: dict[str, Any] = {"password": self.password, "socket_timeout": timeout}
        if self.socket is not None:
            client = redis.Redis(unix_socket_path=str(self.socket), **common)
        elif self.tls is not None:
            client = redis.Redis(
                port=self.port,
                ssl=True,
                ssl_ca_certs=str(self.tls.authority),
                ssl_certfile=str(self.tls.certificate),
                ssl_keyfile=str(self.tls.key),
                ssl_check_hostname=False,
                **common,
            )
        else:
            client = redis.Redis(port=self.port, **common)
        with contextlib.closing(client):
            yield client

    def ask(self, *command: str | int) -> Any:
        """Return the reply to one command."""
        with self.client() as lent:
            client: Any = lent
            return client.execute_command(*command)

    def ask_raw(self, *command: str | int) -> Any:
        """Return the reply to one command as the server says it."""
        with self.client() as lent:
            client: Any = lent
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def wait_replicated(self, timeout: float = 20.0) -> None:
        """Wait until a replica has confirmed all that was written here before."""
        written = self._replication()["master_repl_offset"]
        wait_for(lambda: self._replication()["slave0"]["offset"] >= written, timeout, "a replica to have all of it")

    def _replication(self) -> dict[str, Any]:
        with self.client() as client:
            facts: dict[str, Any] = client.info("replication")
        return facts

    @property
    def in_step(self) -> bool:
        """Whether it is a replica that hears its master."""
        return b"master_link_status:up" in self.ask_raw("INFO", "replication")

    def _answers(self) -> bool:
        process = self._process
        assert process is not None
        assert process.poll() is None, f"the server ended with {process.poll()}:\n{self.log}"
        try:
            with self.client(timeout=1.0) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class RedisCluster:
    """A Cluster of masters, each with as many replicas as asked for.

    Args:
        masters: How many; at least three, by the rules of Redis.
        replicas: How many for each.
        tls: As for :class:`RedisServer`.
        password: As for it.
        node_timeout: Seconds after which a silent node counts as failed.

    Attributes:
        nodes: The masters first.
    """

    def __init__(
        self,
        masters: int = 3,
        replicas: int = 0,
        *,
        tls: Certificates | None = None,
        password: str | None = None,
        node_timeout: float = 1.0,
    ) -> None:
        options = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": str(int(node_timeout * 1000)),
            "cluster-config-file": "nodes.conf",
            "cluster-replica-validity-factor": "0",
        }
        if tls is not None:
            options["tls-cluster"] = "yes"
        self._masters: Final = masters
        self._replicas: Final = replicas
        self.nodes: Final = [
            RedisServer(options=options, tls=tls, password=password) for _ in range(masters * (1 + replicas))
        ]

    @property
    def url(self) -> str:
        """What to pass as ``broker``; it names every node."""
        first, *others = self.nodes
        scheme, rest = first.url.split("://", 1)
        place = f"127.0.0.1:{first.port}"
        places = ",".join([place, *(f"127.0.0.1:{node.port}" for node in others)])
        return f"{scheme}+cluster://{rest.replace(place, places)}"

    def start(self) -> None:
        """Start the nodes, make them know each other, and wait until every one of them finds the Cluster in order."""
        for node in self.nodes:
            node.start()
        masters, replicas = self.nodes[: self._masters], self.nodes[self._masters :]
        for number, node in enumerate(masters):
            first, last = (16384 * at // self._masters for at in (number, number + 1))
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        wait_for(lambda: all(self._knows(node) == len(self.nodes) for node in self.nodes), 20, "the nodes to meet")
        for number, node in enumerate(replicas):
            node.ask("CLUSTER", "REPLICATE", self.id_of(masters[number % self._masters]))
        wait_for(lambda: all(self.in_order(node) for node in self.nodes), 20, "the Cluster to be in order")
        for node in replicas:
            wait_for(partial(getattr, node, "in_step"), 20, "a replica in step")

    def id_of(self, node: RedisServer) -> str:
        """Return a node's name in the Cluster."""
        found = node.ask("CLUSTER", "MYID")
        return found.decode() if isinstance(found, bytes) else str(found)

    def in_order(self, node: RedisServer) -> bool:
        """Whether the node finds that every slot is served."""
        return b"cluster_state:ok" in node.ask_raw("CLUSTER", "INFO")

    def master_of(self, key: str) -> RedisServer:
        """Return the node that serves a key now."""
        slot = self.nodes[0].ask_raw("CLUSTER", "KEYSLOT", key)
        for node in self.nodes:
            if node.running and b"role:master" in node.ask_raw("INFO", "replication"):
                for first, last, master, *_ in node.ask_raw("CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return next(one for one in self.nodes if one.port == master[1])
        raise AssertionError(f"nobody serves {key}")

    def move_slot(self, key: str, to: RedisServer) -> None:
        """Move the slot of a key, and all that is in it, to another master, as resharding does."""
        source = self.master_of(key)
        slot = source.ask("CLUSTER", "KEYSLOT", key)
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(to))
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            names = [one.decode() if isinstance(one, bytes) else one for one in keys]
            source.ask("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *names)
        for node in (to, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(to))

    def _knows(self, node: RedisServer) -> int:
        lines = node.ask_raw("CLUSTER", "NODES").decode().splitlines()
        return sum(" connected" in line and "handshake" not in line for line in lines)

    def close(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class RedisSentinels:
    """A master, its replicas, and the Sentinels that watch them.

    The Sentinels are patient except in :meth:`fail_over`. Where the machine is busy, a server may say nothing for
    seconds; a failover for that, to a former master that has come back empty, would lose everything, and rightly so.

    Args:
        replicas: How many.
        sentinels: How many; the greater half must agree.
        password: Of the servers.
        sentinel_password: Of the Sentinels.
        down_after: Seconds after which a silent master counts as failed in a failover.
        options: Of the servers.

    Attributes:
        servers: The first master, then the replicas.
        sentinels: The Sentinels.
    """

    name = "mymaster"

    def __init__(
        self,
        replicas: int = 1,
        sentinels: int = 3,
        *,
        password: str | None = None,
        sentinel_password: str | None = None,
        down_after: float = 1.0,
        options: Mapping[str, str] | None = None,
    ) -> None:
        common = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1", **(options or {})}
        master = RedisServer(password=password, options=common)
        follow = {**common, "replicaof": f"127.0.0.1 {master.port}"}
        self.servers: Final = [master, *(RedisServer(password=password, options=follow) for _ in range(replicas))]
        watch = {
            f"sentinel monitor {self.name}": f"127.0.0.1 {master.port} {sentinels // 2 + 1}",
            f"sentinel down-after-milliseconds {self.name}": str(PATIENT),
            f"sentinel failover-timeout {self.name}": "4000",
            **({f"sentinel auth-pass {self.name}": f'"{password}"'} if password else {}),
        }
        self.sentinels: Final = [
            RedisServer(password=sentinel_password, options=watch, arguments=("--sentinel",)) for _ in range(sentinels)
        ]
        self._down_after: Final = int(down_after * 1000)
        self._password: Final = password
        self._sentinel_password: Final = sentinel_password

    @property
    def url(self) -> str:
        """What to pass as ``broker``."""
        user = f":{quote(self._password, safe='')}@" if self._password else ""
        places = ";".join(f"sentinel://{user}127.0.0.1:{one.port}" for one in self.sentinels)
        told = f"&sentinel_password={quote(self._sentinel_password)}" if self._sentinel_password else ""
        return f"{places}/0?master_name={self.name}{told}"

    @property
    def master(self) -> RedisServer:
        """The master by the word of the first Sentinel that runs."""
        asked = next(one for one in self.sentinels if one.running)
        _, port = asked.ask_raw("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        return next(one for one in self.servers if one.port == int(port))

    def fail_over(self) -> RedisServer:
        """Kill the master, wait until every Sentinel names the new one and is done, and return the one that died."""
        old = self.master
        old.kill()
        for patience in (self._down_after, PATIENT):  # What one has begun before it became patient has to end, too.
            self._set_patience(patience)
            for one in self.sentinels:
                wait_for(partial(self._has_left, one, old), 40, "every Sentinel to name the new master")
        return old

    def _set_patience(self, milliseconds: int) -> None:
        for one in self.sentinels:
            one.ask_raw("SENTINEL", "SET", self.name, "down-after-milliseconds", milliseconds)

    def _has_left(self, sentinel: RedisServer, old: RedisServer) -> bool:
        facts = self._facts(sentinel)
        return int(facts[b"port"]) != old.port and facts[b"flags"] == b"master"

    def start(self) -> None:
        """Start everything and wait until all replicas are in step and all Sentinels know each other."""
        for one in (*self.servers, *self.sentinels):
            one.start()
        for one in self.servers[1:]:
            wait_for(partial(getattr, one, "in_step"), 20, "a replica in step")
        for one in self.sentinels:
            wait_for(partial(self._sees_all, one), 20, "Sentinels to meet, and to see the replicas")

    def _sees_all(self, sentinel: RedisServer) -> bool:
        facts = self._facts(sentinel)
        wanted = (len(self.sentinels) - 1, len(self.servers) - 1)
        return (int(facts[b"num-other-sentinels"]), int(facts[b"num-slaves"])) == wanted

    def _facts(self, sentinel: RedisServer) -> dict[bytes, bytes]:
        found = sentinel.ask_raw("SENTINEL", "MASTER", self.name)
        return found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))

    def close(self) -> None:
        """End everything."""
        for one in (*self.sentinels, *self.servers):
            one.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Certificates:
    """A private authority and a certificate of it for this machine, as files.

    Args:
        folder: Where the files go.
        names: Whom the certificate is for.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        import trustme  # Only here: making keys takes a while, and most tests need none.

        authority = trustme.CA()
        issued = authority.issue_cert(*(names or ("127.0.0.1", "localhost")))
        self.authority: Final = folder / "authority.pem"
        self.certificate: Final = folder / "certificate.pem"
        self.key: Final = folder / "key.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        issued.cert_chain_pems[0].write_to_path(str(self.certificate))
        issued.private_key_pem.write_to_path(str(self.key))
