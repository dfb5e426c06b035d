"""What is wrong with a RabbitMQ server, as far as an AMQP connection can tell."""

from __future__ import annotations

from typing import Any, Final

from celeriac.brokers.port import Finding
from celeriac.brokers.rabbitmq.requests import Look, RabbitOperation
from celeriac.brokers.rabbitmq.topology import Topology

OLDEST: Final = (3, 10)


def examine_server(topology: Topology) -> RabbitOperation[list[Finding]]:
    """Return findings about the server."""
    seen: dict[str, Any] = yield Look()
    version = ".".join(map(str, seen["version"]))
    findings: list[Finding] = []
    if tuple(seen["version"]) < OLDEST:
        findings.append(
            Finding(
                level="warning",
                subject="version",
                text=f"RabbitMQ {version} is older than 3.10, and Celeriac is not tested with it",
                remedy="use RabbitMQ 3.10 or newer",
            )
        )
    else:
        findings.append(Finding(level="ok", subject="version", text=f"RabbitMQ {version}"))
    if seen["blocked"] is not None:
        findings.append(
            Finding(
                level="error",
                subject="alarm",
                text=f"RabbitMQ takes no messages now: {seen['blocked']}",
                remedy="free memory or disk on its host; rabbitmqctl status shows which is short",
            )
        )
    if topology.queue_type == "classic":
        findings.append(
            Finding(
                level="advice",
                subject="queue type",
                text="classic queues live on one node: what they hold is out of reach while that node is",
                remedy="use quorum queues (queue_type=quorum in the broker's URL) on a cluster",
            )
        )
    return findings
