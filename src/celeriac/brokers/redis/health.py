"""What is wrong with a Redis server as a broker, and what to change. Pure: the server is asked by plain commands.

Most of it is read from INFO, since many hosted servers forbid CONFIG. What cannot be read is said to be so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from celeriac.brokers.port import Finding
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.requests import Argument, Commands, RedisOperation, Refused

MIB: Final = 1024 * 1024
OLDEST: Final = (6, 2)
NEARLY_FULL: Final = 0.8
FULL: Final = 0.95
FRAGMENTED: Final = 2.0
WORTH_MENTIONING: Final = 256 * MIB
"""Below so many bytes fragmentation says nothing."""
SLOW_ENTRIES: Final = 16
"""How many of the latest slow commands are looked at."""

ACL: Final = "+@read +@write +@scripting +@pubsub +@connection +time +info"
"""Commands that a user needs."""

Facts: TypeAlias = Mapping[str, str]
_SETTINGS: Final = ("save", "appendonly", "appendfsync", "min-replicas-to-write")


def examine(keys: Keys) -> RedisOperation[list[Finding]]:
    """Return the findings about the server; of a Cluster, about one of its nodes and the Cluster's state.

    Args:
        keys: Where the broker's keys are: rights are tried on one that is not there.
    """
    tag = keys.tag(0)
    tries: dict[str, list[Argument]] = {
        f"read keys that begin with {tag}": ["EXISTS", f"{tag}:nothing"],
        f"change keys that begin with {tag}": ["DEL", f"{tag}:nothing"],
        f"publish on channels that begin with {tag}": ["PUBLISH", f"{tag}:nowhere", ""],
        "run scripts": ["EVALSHA", "0" * 40, 0],
        "load scripts": ["SCRIPT", "EXISTS", "0" * 40],
        "ask for the time": ["TIME"],
    }
    replies = yield Commands(
        [
            ["INFO"],
            *(["CONFIG", "GET", name] for name in _SETTINGS),
            ["CLUSTER", "INFO"],
            ["SLOWLOG", "GET", SLOW_ENTRIES],
            *tries.values(),
        ]
    )
    permissions = _permissions(tag, tries, replies[7:])
    info = _lines(replies[0])
    config = {
        name: reply[1].decode("utf-8", "replace")
        for name, reply in zip(_SETTINGS, replies[1:5], strict=True)
        if not isinstance(reply, Refused) and len(reply) == 2
    }
    if not info:
        return [
            _advise(
                "server",
                "the server does not let this user read INFO, so it cannot be examined",
                "allow it (ACL SETUSER name +info), or check eviction and persistence by hand",
            ),
            permissions,
        ]
    cluster = _lines(replies[5]) if info.get("cluster_enabled") == "1" else {}
    judges: tuple[Callable[[], Finding], ...] = (
        lambda: _version(info),
        lambda: permissions,
        lambda: _persistence(info, config),
        lambda: _eviction(info),
        lambda: _memory(info),
        lambda: _fragmentation(info),
        lambda: _replication(info, config),
        lambda: _cluster(info, cluster),
        lambda: _speed(replies[6]),
    )
    return [judge() for judge in judges]


def _lines(reply: Any) -> dict[str, str]:
    if not isinstance(reply, bytes):
        return {}
    pairs = (line.partition(":") for line in reply.decode("utf-8", "replace").splitlines())
    return {name: value.strip() for name, colon, value in pairs if colon}


def _number(facts: Facts, name: str) -> float:
    try:
        return float(facts.get(name, "0"))
    except ValueError:
        return 0.0


def _fine(subject: str, text: str) -> Finding:
    return Finding(level="ok", subject=subject, text=text)


def _advise(subject: str, text: str, remedy: str) -> Finding:
    return Finding(level="advice", subject=subject, text=text, remedy=remedy)


def _warn(subject: str, text: str, remedy: str) -> Finding:
    return Finding(level="warning", subject=subject, text=text, remedy=remedy)


def _permissions(tag: str, tries: Iterable[str], replies: Iterable[Any]) -> Finding:
    lacking = [
        what
        for what, reply in zip(tries, replies, strict=True)
        if isinstance(reply, Refused) and reply.text.upper().startswith("NOPERM")
    ]
    if not lacking:
        return _fine("permissions", "this user may do all that is needed with its keys and channels")
    prefix = tag.removesuffix("}")
    return Finding(
        level="error",
        subject="permissions",
        text=f"this user may not {', nor '.join(lacking)}",
        remedy=f"ACL SETUSER name '~{prefix}*' '&{prefix}*' {ACL}",
    )


def _version(info: Facts) -> Finding:
    # Valkey calls itself Redis 7.2.4 for old clients, and says its own version beside it.
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version", "0")
    numbers = tuple(int(part) for part in info.get("redis_version", "0").split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        return Finding(
            level="error",
            subject="version",
            text=f"{name} {version} is older than 6.2, and its commands lack what Celeriac needs",
            remedy="upgrade the server to Redis 6.2 or newer, or to Valkey",
        )
    return _fine("version", f"{name} {version}")


def _persistence(info: Facts, config: Facts) -> Finding:
    if info.get("aof_enabled") == "1":
        if info.get("aof_last_write_status", "ok") != "ok":
            return Finding(
                level="error",
                subject="durability",
                text="the server cannot write its append-only file",
                remedy="look at its log and at the free space and permissions of its directory",
            )
        match config.get("appendfsync"):
            case "always":
                return _fine("durability", "every write is on disk before it is answered (appendfsync always)")
            case "everysec":
                return _fine(
                    "durability",
                    "writes are on disk within about a second (appendfsync everysec): a crash of the machine may lose"
                    " the last one or two seconds; a crash of the server alone rarely any",
                )
            case "no":
                return _warn(
                    "durability",
                    "the system decides when writes go to disk (appendfsync no): a crash may lose half a minute",
                    "CONFIG SET appendfsync everysec, or always",
                )
            case _:
                return _fine("durability", "there is an append-only file; how often it is synced could not be read")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return Finding(
            level="error",
            subject="durability",
            text="the last snapshot failed, so the server may refuse writes",
            remedy="look at its log and at the free space and permissions of its directory",
        )
    if "save" not in config:
        return _advise(
            "durability",
            "there is no append-only file, and whether there are snapshots could not be read (CONFIG is refused)",
            "make sure that the server keeps an append-only file; without, a crash loses accepted tasks",
        )
    if config["save"].strip():
        return _warn(
            "durability",
            f"the server keeps snapshots only (save {config['save']}): a crash loses all tasks accepted since the last",
            "CONFIG SET appendonly yes, and the same in its configuration",
        )
    return _warn(
        "durability",
        "the server keeps nothing on disk: a restart loses all accepted tasks",
        "CONFIG SET appendonly yes, and the same in its configuration",
    )


def _eviction(info: Facts) -> Finding:
    policy = info.get("maxmemory_policy", "noeviction")
    bounded = _number(info, "maxmemory") > 0
    if policy == "noeviction":
        return _fine("eviction", "nothing is thrown away when memory is full; what is sent then is refused")
    if policy.startswith("volatile-"):
        return _warn(
            "eviction",
            f"when memory is full the server throws away keys that expire (maxmemory-policy {policy}): results and"
            " records of workers",
            "CONFIG SET maxmemory-policy noeviction; give caches a server of their own",
        )
    when = "when memory is full the server" if bounded else "as soon as maxmemory is set, the server"
    return Finding(
        level="error" if bounded else "warning",
        subject="eviction",
        text=f"{when} throws away any key (maxmemory-policy {policy}): whole queues with all their tasks",
        remedy="CONFIG SET maxmemory-policy noeviction; give caches a server of their own",
    )


def _memory(info: Facts) -> Finding:
    used, most = _number(info, "used_memory"), _number(info, "maxmemory")
    system = _number(info, "total_system_memory")
    if most <= 0:
        if system and used > NEARLY_FULL * system:
            return _warn(
                "memory",
                f"{used / MIB:,.0f} MiB used of the machine's {system / MIB:,.0f} MiB, and there is no maxmemory",
                "set maxmemory below the memory of the machine, so that the server refuses instead of being killed",
            )
        return _fine("memory", f"{used / MIB:,.1f} MiB used, no maxmemory")
    text = f"{used / MIB:,.1f} MiB used of {most / MIB:,.1f} MiB (maxmemory)"
    if used > FULL * most:
        return Finding(
            level="error",
            subject="memory",
            text=f"{text}: new tasks are refused soon, or already",
            remedy="raise maxmemory, start more workers, let results expire sooner, purge dead letters",
        )
    if used > NEARLY_FULL * most:
        return _warn("memory", text, "raise maxmemory, start more workers, let results expire sooner")
    return _fine("memory", text)


def _fragmentation(info: Facts) -> Finding:
    ratio = _number(info, "mem_fragmentation_ratio")
    if ratio > FRAGMENTED and _number(info, "used_memory_rss") > WORTH_MENTIONING:
        return _advise(
            "fragmentation",
            f"the process holds {ratio:.1f} times the memory that it uses",
            "CONFIG SET activedefrag yes, or restart the server when it is quiet",
        )
    return _fine("fragmentation", "the process holds little more memory than it uses, or little at all")


def _replication(info: Facts, config: Facts) -> Finding:
    if info.get("role") == "slave":
        return Finding(
            level="error",
            subject="replication",
            text="this server is a replica, which takes no writes",
            remedy="name the master in the URL, or let Sentinels name it (sentinel://)",
        )
    replicas = int(_number(info, "connected_slaves"))
    least = config.get("min-replicas-to-write", "1" if "min_slaves_good_slaves" in info else "0")
    if replicas and least == "0":
        return _advise(
            "replication",
            f"{replicas} replicas, and the master takes writes without them: replication is asynchronous, so a failover"
            " loses what it had not yet passed on, and a master that is cut off goes on accepting what will be lost",
            "CONFIG SET min-replicas-to-write 1 and min-replicas-max-lag 10, which bounds that to those seconds",
        )
    if replicas:
        return _fine("replication", f"{replicas} replicas, and writes need at least {least}")
    return _fine("replication", "no replicas: if this machine dies, what is on its disk waits for it")


def _cluster(info: Facts, cluster: Facts) -> Finding:
    if info.get("cluster_enabled") != "1":
        return _fine("cluster", "this is no Cluster")
    if not cluster:
        return _advise("cluster", "the state of the Cluster could not be read", "allow this user CLUSTER INFO")
    nodes = cluster.get("cluster_size", "?")
    if cluster.get("cluster_state") != "ok" or _number(cluster, "cluster_slots_fail") > 0:
        return Finding(
            level="error",
            subject="cluster",
            text=f"the Cluster of {nodes} masters is {cluster.get('cluster_state')}, and serves"
            f" {cluster.get('cluster_slots_ok')} of 16384 slots",
            remedy="look at CLUSTER NODES for masters that failed, and at their replicas",
        )
    return _fine("cluster", f"the Cluster of {nodes} masters serves all slots")


def _speed(entries: Any) -> Finding:
    if isinstance(entries, Refused):
        return _advise("speed", "the log of slow commands could not be read", "allow this user SLOWLOG")
    slow: list[tuple[float, str]] = []
    rows: list[Any] = entries
    for entry in rows:
        word: bytes = entry[3][0]
        slow.append((entry[2] / 1000, word.decode("utf-8", "replace").upper()))
    others = [one for one in slow if one[1] not in ("EVAL", "EVALSHA", "INFO", "CONFIG")]
    if others:
        took, command = max(others)
        name = command if command.isalnum() and len(command) < 30 else "some command"
        return _advise(
            "speed",
            f"other commands held up the server lately, {name} for {took:,.0f} ms",
            "look at SLOWLOG GET; give what runs KEYS, SORT or long scripts a server of its own",
        )
    return _fine("speed", "no other commands held up the server lately")
