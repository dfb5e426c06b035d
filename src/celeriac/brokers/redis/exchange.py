"""Which server a request goes to, and when it is sent again.

Written once, as a generator like every operation: it asks for steps (send to that server, rest) and is sent what came
of them. So blocking and awaiting performers, and tests without a server, share it.

Guarantees:
- Everything ends by the deadline, in one error that names the server without its password.
- A script that must not be carried out twice is sent again only if it certainly was not carried out: the connection
  could not be made, or the server refused it. After a lost reply the caller is told.
- A script that the server has forgotten (a restart, SCRIPT FLUSH, a failover) is sent to it anew.
- In a Cluster a moved slot is followed; behind Sentinels a new master is found.
- Behind Sentinels no connection to a master is made without asking them, and it, whether it is one still. Sentinels cut
  the connections to a server that they make a replica, so one that is open leads to the master.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import lru_cache
from hashlib import sha1
from typing import Any, Final, TypeAlias

import msgspec

from celeriac.brokers.redis.failures import PASSING, code_of, translate
from celeriac.brokers.redis.location import Address, Location
from celeriac.brokers.redis.requests import Argument, Commands, Refused, Reply, Request, Script, Scripts
from celeriac.brokers.redis.scripts import source
from celeriac.brokers.redis.topology import Slots, slot_of, slots_of
from celeriac.core.chance import SYSTEM_RNG
from celeriac.errors import CeleriacError, OperationalError

FIRST_REST: Final = 0.02
LONGEST_REST: Final = 0.5
"""Seconds between two attempts; they double from the first to the longest, each between half and whole of that."""
MOST_MOVES: Final = 16
"""How often one request follows a moved slot before something must be wrong."""

Words: TypeAlias = Sequence[Argument]


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send commands to a server, one after the other on one connection, and return the replies.

    Attributes:
        address: The server.
        commands: What to say.
        patience: Seconds to wait for a connection; None: as long as the location says.
        connected: Only on a connection that is open already.
    """

    address: Address
    commands: tuple[Words, ...]
    patience: float | None = None
    connected: bool = False


class Rest(msgspec.Struct, frozen=True, gc=False):
    """Do nothing for so many seconds."""

    seconds: float


Step: TypeAlias = Send | Rest
Replies: TypeAlias = Any
Exchange: TypeAlias = Generator[Step, Replies, Reply]


class Unreached(Exception):
    """The server got nothing: there is no connection. ``final``: and trying again at once will not help."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Unconnected(Exception):
    """There is no open connection to the server, and no other was wanted; nothing was sent."""


class Lost(Exception):
    """The connection broke, or no answer came in time: the server may or may not have done what was asked."""


class TimeUp(Exception):
    """The deadline came while a step was being done. ``sent``: the server may have done what was asked."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


@lru_cache(maxsize=256)
def _sha(name: str) -> str:
    return sha1(source(name).encode(), usedforsecurity=False).hexdigest()


def _arguments(script: Script) -> list[Argument]:
    return [len(script.keys), *script.keys, *script.args]


class Route:
    """Knows where the server is, as far as it has been found out. Safe to share between threads.

    Args:
        location: What the URL says.
    """

    def __init__(self, location: Location) -> None:
        self.location: Final = location
        self._single: Final = location.addresses[0] if location.mode == "single" else None
        self._master: Address | None = None
        self._slots: Slots | None = None

    def carry_out(self, request: Request) -> Exchange:
        """Have the request done; return its reply.

        Raises:
            OperationalError, BrokerError: It was not done, or (only where repeating would do harm) nobody knows.
        """
        attempt = _Attempt(self.location)
        repeatable = isinstance(request, Commands) or (isinstance(request, Script) and request.repeatable)
        while True:
            address: Address | None = None
            try:
                address = yield from self._find(request)
                if isinstance(request, Commands):
                    return (yield self._send(address, *request.commands))
                if isinstance(request, Scripts):
                    reply = yield from self._scripts(request.scripts, address)
                else:
                    reply = yield from self._script(request, address)
            except Unconnected:
                self._doubt(address)
            except Unreached as exc:
                self._doubt(address)
                if exc.final:
                    raise attempt.unreachable(str(exc)) from None
                yield from attempt.again(str(exc))
            except Lost as exc:
                self._doubt(address)
                if not repeatable:
                    raise attempt.uncertain(str(exc)) from None
                yield from attempt.again(str(exc))
            except TimeUp as exc:
                self._doubt(address)
                raise attempt.too_late(self.location.timeout, sent=exc.sent and address is not None) from None
            else:
                if not isinstance(reply, Refused):
                    return reply
                yield from self._refused(reply, address, attempt)

    def find_any(self) -> Generator[Step, Replies, Address]:
        """Return a server that hears everything that is published."""
        return (yield from self._find(None))

    # One attempt

    def _scripts(self, scripts: Sequence[Script], address: Address) -> Exchange:
        replies = yield self._send(address, *[["EVALSHA", _sha(one.name), *_arguments(one)] for one in scripts])
        if all(isinstance(reply, Refused) and code_of(reply) in PASSING for reply in replies):
            return replies[0]  # Nothing was done.
        again = False
        for place, script in enumerate(scripts):
            # The server does not know it, or the keys are elsewhere; else it says the same again. What found nothing
            # has looked too early, if one before it is only carried out now.
            if isinstance(replies[place], Refused) or (again and not replies[place]):
                replies[place] = reply = yield from self._script(script, address)
                if isinstance(reply, Refused):
                    raise translate(reply, self.location.name)
                again = True
        return replies

    def _script(self, script: Script, address: Address) -> Exchange:
        arguments = _arguments(script)
        command: Words = ["EVALSHA", _sha(script.name), *arguments]
        (reply,) = yield self._send(address, command)
        for _ in range(MOST_MOVES):
            if not isinstance(reply, Refused):
                return reply
            code = code_of(reply)
            if code == "NOSCRIPT" and command[0] == "EVALSHA":
                command = ["EVAL", source(script.name), *arguments]
                (reply,) = yield self._send(address, command)
            elif code == "MOVED" and self.location.mode == "cluster":
                slot, address = _target(reply, address)
                self._moved(slot, address)
                (reply,) = yield self._send(address, command)
            elif code == "ASK" and self.location.mode == "cluster":
                _, asked = _target(reply, address)
                _, reply = yield Send(asked, (["ASKING"], ["EVAL", source(script.name), *arguments]))
            else:
                break
        return reply

    def _refused(self, reply: Refused, address: Address, attempt: _Attempt) -> Generator[Step, Replies, None]:
        """Rest, if the server may accept it in a moment; else raise."""
        error = translate(reply, self.location.name)
        if isinstance(error, OperationalError):
            self._doubt(address)
        if code_of(reply) not in PASSING:
            raise error
        attempt.error = error
        yield from attempt.again(str(error))

    def _send(self, address: Address, *commands: Words) -> Send:
        # What was the master may be back as a replica, or empty and not yet made one: a new connection is first asked.
        return Send(address, commands, connected=self.location.mode == "sentinel")

    # Places

    def _find(self, request: Request | None) -> Generator[Step, Replies, Address]:
        if self._single is not None:
            return self._single
        if self.location.mode == "sentinel":
            if self._master is None:
                self._master = yield from self._ask_sentinels()
            return self._master
        slots = self._slots
        if slots is None:
            slots = self._slots = yield from self._ask_nodes()
        if isinstance(request, Scripts):
            request = request.scripts[0]
        if isinstance(request, Script):
            found = slots.node(slot_of(str(request.keys[0])))
            if found is None:
                self._slots = None
                raise Unreached("no node of the Cluster serves the slot of these keys: look at CLUSTER INFO")
            return found
        return SYSTEM_RNG.choice(slots.nodes)

    def _doubt(self, address: Address | None) -> None:
        """Find out anew, with the next request, who is master or who serves which slot."""
        if address is not None:
            self._master = None
            slots, self._slots = self._slots, None
            if slots is not None and slots.nodes:
                self._known = [one for one in slots.nodes if one != address]

    _known: Sequence[Address] = ()
    """Nodes that were there when last looked, to ask beside those of the URL."""

    def _moved(self, slot: int, address: Address) -> None:
        if self._slots is not None:
            self._slots = self._slots.moved(slot, address)

    def _ask_sentinels(self) -> Generator[Step, Replies, Address]:
        problems: list[str] = []
        addresses = self.location.addresses
        for sentinel in addresses:
            try:
                (found,) = yield Send(
                    sentinel,
                    (["SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.location.master or ""],),
                    self._patience(len(addresses)),
                )
                if isinstance(found, Refused):
                    problems.append(f"{sentinel}: {found.text[:200]}")
                    continue
                if found is None:
                    problems.append(f"{sentinel} knows no master of that name")
                    continue
                master = Address(found[0].decode(), int(found[1]))
                (role,) = yield Send(master, (["ROLE"],), self._patience(len(addresses)))
                if isinstance(role, Refused) and code_of(role) != "NOPERM":
                    problems.append(f"{master}, the master by the word of {sentinel}: {role.text[:200]}")
                elif not isinstance(role, Refused) and role[0] != b"master":
                    problems.append(f"{master} is the master by the word of {sentinel}, and says it is not")
                else:
                    return master
            except (Unreached, Lost) as exc:
                problems.append(f"{sentinel}: {exc}")
        raise Unreached("no master was found: " + "; ".join(problems))

    def _ask_nodes(self) -> Generator[Step, Replies, Slots]:
        problems: list[str] = []
        nodes = list(dict.fromkeys([*self._known, *self.location.addresses]))
        SYSTEM_RNG.shuffle(nodes)
        for node in nodes:
            try:
                (found,) = yield Send(node, (["CLUSTER", "SLOTS"],), self._patience(len(nodes)))
            except (Unreached, Lost) as exc:
                problems.append(f"{node}: {exc}")
                continue
            if isinstance(found, Refused):
                if "cluster support disabled" in found.text:
                    raise Unreached(
                        f"{node} is no node of a Cluster: leave out +cluster or cluster=true in the URL", final=True
                    )
                problems.append(f"{node}: {found.text[:200]}")
                continue
            slots = slots_of(found, node)
            if slots.nodes:
                return slots
            problems.append(f"{node} knows of no slots yet")
        raise Unreached("no node of the Cluster answered: " + "; ".join(problems))

    def _patience(self, candidates: int) -> float:
        """Return the seconds to wait for one of several servers, so that one that is away leaves time for others."""
        return min(self.location.connect_timeout, self.location.timeout / (candidates + 1))


class _Attempt:
    """How often a request was tried, and what went wrong last."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._rest = FIRST_REST
        self._reason = ""
        self.error: CeleriacError | None = None

    @property
    def _name(self) -> str:
        return self._location.name

    def again(self, reason: str) -> Generator[Step, Replies, None]:
        """Rest before another attempt."""
        self._reason = reason
        rest = self._rest * SYSTEM_RNG.uniform(0.5, 1.0)
        self._rest = min(self._rest * 2, LONGEST_REST)
        try:
            yield Rest(rest)
        except TimeUp:
            raise self.error or self.unreachable(reason) from None

    def unreachable(self, reason: str) -> OperationalError:
        return OperationalError(
            f"the {self._name} cannot be reached: {reason}. Check that it runs, the host and port in the URL, and the"
            " network between"
        )

    def uncertain(self, reason: str) -> OperationalError:
        return OperationalError(
            f"the connection to the {self._name} was lost before its answer came ({reason}): the operation may or may"
            " not have been carried out"
        )

    def too_late(self, timeout: float, *, sent: bool) -> CeleriacError:
        if not sent:
            return self.error or self.unreachable(self._reason or f"no connection within {timeout:g} seconds")
        return OperationalError(
            f"the {self._name} did not answer within {timeout:g} seconds: check whether it hangs, is overloaded"
            " (SLOWLOG, LATENCY DOCTOR), or is cut off by a firewall; the parameter timeout of the URL says how long to"
            " wait. The operation may or may not have been carried out"
        )


def _target(reply: Refused, asked: Address) -> tuple[int, Address]:
    """Return slot and node of ``MOVED 3999 127.0.0.1:6381``; an empty host is that of the node that was asked."""
    _, slot, place, *_ = reply.text.split(" ")
    host, _, port = place.rpartition(":")
    return int(slot), Address(host or asked.host, int(port))
