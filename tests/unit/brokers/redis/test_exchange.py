"""Where requests go and when they are sent again, told step by step without a server."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.brokers.redis.exchange import Lost, Rest, Route, Send, Step, TimeUp, Unconnected, Unreached
from celeriac.brokers.redis.location import Address
from celeriac.brokers.redis.requests import Commands, Refused, Script, Scripts
from celeriac.brokers.redis.topology import slot_of, slots_of
from celeriac.brokers.redis.url import parse
from celeriac.core.operation import run
from celeriac.errors import BrokerError, CeleriacError, OperationalError, StoreCorrupt, StoreFull

ONCE = Script("claim", ("{celeriac}:m",))
AGAIN = Script("now", ("{celeriac}:m",), (1.5,), repeatable=True)
H = Address("h", 6379)


class Told:
    """Answers sends from a list (an exception is raised), and lets time stand still."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[Address, tuple[Any, ...]]] = []
        self.rested = 0

    def __call__(self, step: Step) -> Any:
        if isinstance(step, Rest):
            self.rested += 1
            if not self.answers:
                raise TimeUp(sent=False)
            return None
        assert isinstance(step, Send)
        self.sent.append((step.address, tuple(words[0] for words in step.commands)))
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def carry(told: Told, request: Script | Scripts | Commands = ONCE, url: str = "redis://:pw@h") -> Any:
    return run(Route(parse(url)).carry_out(request), told)


def test_a_script_is_named_by_its_hash_and_sent_whole_where_it_is_not_known() -> None:
    told = Told([7])
    assert carry(told) == 7
    told = Told([Refused("NOSCRIPT No matching script")], [7])
    assert carry(told) == 7
    assert [words for _, words in told.sent] == [("EVALSHA",), ("EVAL",)]


def test_what_never_arrived_is_sent_again() -> None:
    told = Told(Unreached("refused"), Unreached("refused"), [7])
    assert carry(told) == 7
    assert told.rested == 2


def test_what_may_have_been_done_is_sent_again_only_if_that_does_no_harm() -> None:
    assert carry(Told(Lost("reset"), [7]), AGAIN) == 7
    assert carry(Told(Lost("reset"), [[b"info"]]), Commands([["INFO"]])) == [[b"info"]]
    told = Told(Lost("reset"), [7])
    with pytest.raises(OperationalError, match="may or may not have been carried out"):
        carry(told)
    assert len(told.sent) == 1


def test_the_error_names_the_server_and_says_what_to_check() -> None:
    for problem in (Unreached("refused"), TimeUp(sent=False), TimeUp(sent=True), Lost("reset")):
        with pytest.raises(OperationalError) as caught:
            carry(Told(problem))
        assert "redis://h:6379/0" in str(caught.value)
        assert "pw" not in str(caught.value)
        assert "check" in str(caught.value).lower() or "carried out" in str(caught.value)


@pytest.mark.parametrize(
    ("refusal", "error", "words"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreFull, "maxmemory"),
        ("ERR Error running script (call to f_ab): @user_script:9: @user_script: 9: -OOM command", StoreFull, "memory"),
        ("MISCONF Redis is configured to save RDB snapshots", OperationalError, "disk"),
        ("NOREPLICAS Not enough good replicas to write.", OperationalError, "min-replicas-to-write"),
        ("READONLY You can't write against a read only replica.", OperationalError, "replica"),
        ("LOADING Redis is loading the dataset in memory", OperationalError, "starting"),
        ("BUSY Redis is busy running a script.", OperationalError, "SCRIPT KILL"),
        ("MASTERDOWN Link with MASTER is down", OperationalError, "lost its master"),
        ("CLUSTERDOWN The cluster is down", OperationalError, "CLUSTER INFO"),
        ("NOAUTH Authentication required.", BrokerError, "password"),
        ("ERR Protocol error: unauthenticated multibulk length", BrokerError, "wants a password"),
        ("NOPERM User x has no permissions", BrokerError, "ACL"),
        ("WRONGTYPE Operation against a key", StoreCorrupt, "prefix"),
        ("MOVED 1 h:1", BrokerError, "cluster=true"),
        ("ERR Protocol error: invalid bulk length", BrokerError, "too big"),
        ("ERR something else", BrokerError, "something else"),
    ],
)
def test_each_refusal_has_its_error_and_advice(refusal: str, error: type[CeleriacError], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        carry(Told([Refused(refusal)]))
    assert type(caught.value) is error
    assert "redis://h:6379/0" in str(caught.value)


@pytest.mark.parametrize("word", ["LOADING", "BUSY", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"])
def test_a_refusal_that_may_pass_is_tried_again(word: str) -> None:
    assert carry(Told([Refused(f"{word} x")], [7])) == 7


# Several scripts at once

BOTH = Scripts((AGAIN, ONCE))


def test_scripts_go_together_and_each_has_its_reply() -> None:
    told = Told([7, 8])
    assert carry(told, BOTH) == [7, 8]
    assert [words for _, words in told.sent] == [("EVALSHA", "EVALSHA")]


def test_of_several_scripts_that_which_is_not_known_is_sent_whole() -> None:
    told = Told([7, Refused("NOSCRIPT x")], [Refused("NOSCRIPT x")], [8])
    assert carry(told, BOTH) == [7, 8]
    assert [words for _, words in told.sent] == [("EVALSHA", "EVALSHA"), ("EVALSHA",), ("EVAL",)]


def test_a_script_that_found_nothing_before_the_one_ahead_of_it_was_carried_out_looks_again() -> None:
    told = Told([Refused("NOSCRIPT x"), None], [Refused("NOSCRIPT x")], [7], [8])
    assert carry(told, BOTH) == [7, 8]
    told = Told([Refused("NOSCRIPT x"), 9], [7])
    assert carry(told, BOTH) == [7, 9]
    assert carry(Told([None, None]), BOTH) == [None, None]


def test_several_scripts_are_sent_again_only_if_none_was_carried_out() -> None:
    assert carry(Told(Unreached("refused"), [Refused("LOADING x")] * 2, [Refused("BUSY x")] * 2, [7, 8]), BOTH) == [
        7,
        8,
    ]
    for answers in ([Lost("reset")], [[7, Refused("BUSY x")], [Refused("BUSY x")]]):
        told = Told(*answers)
        with pytest.raises(OperationalError):
            carry(told, BOTH)
        assert not told.answers


def test_several_scripts_go_to_the_node_of_their_slot() -> None:
    told = Told([RANGES], [7, 8])
    assert carry(told, BOTH, CLUSTER) == [7, 8]
    assert told.sent[-1][0] == slots_of(RANGES, Address("a", 1)).node(slot_of("celeriac"))


# Cluster

RANGES = [[0, 8191, [b"a", 1, b"id"]], [8192, 16383, [b"b", 2, b"id"], [b"c", 3, b"id"]]]
CLUSTER = "redis+cluster://a:1"


def test_slots_are_those_of_the_specification() -> None:
    assert slot_of("123456789") == 12739
    assert slot_of("{user1000}.following") == slot_of("user1000")
    assert slot_of("foo{}{bar}") == slot_of("foo{}{bar}") != slot_of("bar")
    found = slots_of(RANGES, Address("a", 1))
    assert found.node(8191) == Address("a", 1)
    assert found.node(8192) == Address("b", 2)
    assert found.moved(8192, Address("c", 3)).node(8192) == Address("c", 3)
    assert slots_of([[0, 5, [b"", 1]]], Address("me", 1)).node(5) == Address("me", 1)
    assert slots_of([[1, 5, [b"a", 1]]], Address("a", 1)).node(0) is None


def test_a_script_goes_to_the_node_of_its_slot() -> None:
    told = Told([RANGES], [7])
    assert carry(told, url=CLUSTER) == 7
    node = slots_of(RANGES, Address("a", 1)).node(slot_of("celeriac"))
    assert told.sent[-1] == (node, ("EVALSHA",))


def test_a_moved_slot_is_followed_and_remembered() -> None:
    slot = slot_of("celeriac")
    told = Told([RANGES], [Refused(f"MOVED {slot} d:4")], [Refused("NOSCRIPT")], [7], [8])
    route = Route(parse(CLUSTER))
    assert run(route.carry_out(ONCE), told) == 7
    assert run(route.carry_out(ONCE), told) == 8
    assert [address for address, _ in told.sent[2:]] == [Address("d", 4)] * 3


def test_a_slot_on_its_way_is_asked_for_once() -> None:
    slot = slot_of("celeriac")
    told = Told([RANGES], [Refused(f"ASK {slot} d:4")], [b"OK", 7])
    assert carry(told, url=CLUSTER) == 7
    assert told.sent[-1] == (Address("d", 4), ("ASKING", "EVAL"))


def test_a_node_that_is_away_is_replaced_by_whom_the_others_name() -> None:
    after = [[0, 16383, [b"c", 3]]]
    told = Told([RANGES], Unreached("refused"), Unreached("a is away"), [after], [7])
    assert carry(told, url="redis+cluster://a:1,b:2") == 7
    assert told.sent[-1][0] == Address("c", 3)


def test_a_server_that_is_no_cluster_is_said_to_be_none() -> None:
    with pytest.raises(OperationalError, match="no node of a Cluster"):
        carry(Told([Refused("ERR This instance has cluster support disabled")]), url=CLUSTER)


# Sentinel

SENTINELS = "sentinel://s1;sentinel://s2/?master_name=m"
S1, S2, M, N = Address("s1", 26379, True), Address("s2", 26379, True), Address("m", 1), Address("n", 2)


def test_the_master_is_asked_for_once() -> None:
    told = Told([[b"m", b"1"]], [[b"master", 0, []]], [7], [8])
    route = Route(parse(SENTINELS))
    assert run(route.carry_out(ONCE), told) == 7
    assert run(route.carry_out(ONCE), told) == 8
    assert [address for address, _ in told.sent] == [S1, M, M, M]


def test_no_connection_to_a_master_is_made_without_asking_who_it_is() -> None:
    """It may be back as a replica, whose answers are old, or empty: reads would not be refused."""
    told = Told([[b"m", b"1"]], [[b"master"]], [7], Unconnected(), [[b"n", b"2"]], [[b"master"]], [8])
    route = Route(parse(SENTINELS))
    assert run(route.carry_out(ONCE), told) == 7
    assert run(route.carry_out(ONCE), told) == 8
    assert told.rested == 0
    assert [(address, words) for address, words in told.sent[3:]] == [
        (M, ("EVALSHA",)),
        (S1, ("SENTINEL",)),
        (N, ("ROLE",)),
        (N, ("EVALSHA",)),
    ]


def test_a_master_without_replicas_is_doubted() -> None:
    """Cut off from the others it refuses writes, while the others may have another master."""
    told = Told([[b"m", b"1"]], [[b"master"]], [Refused("NOREPLICAS Not enough good replicas to write.")])
    route = Route(parse(SENTINELS))
    with pytest.raises(OperationalError, match="min-replicas-to-write"):
        run(route.carry_out(ONCE), told)
    told.answers = [[[b"n", b"2"]], [[b"master"]], [7]]
    assert run(route.carry_out(ONCE), told) == 7
    assert told.sent[-1][0] == N


@pytest.mark.parametrize("problem", [Unreached("refused"), [Refused("READONLY You can't write")]])
def test_a_new_master_is_found(problem: Any) -> None:
    told = Told([[b"m", b"1"]], [[b"master"]], problem, [[b"n", b"2"]], [[b"master"]], [7])
    assert carry(told, url=SENTINELS) == 7
    assert told.sent[-1][0] == N


def test_a_sentinel_that_is_away_or_behind_is_passed_over() -> None:
    told = Told(Unreached("refused"), [[b"m", b"1"]], [[b"master"]], [7])
    assert carry(told, url=SENTINELS) == 7
    told = Told([[b"m", b"1"]], [[b"slave"]], [[b"n", b"2"]], [[b"master"]], [7])
    assert carry(told, url=SENTINELS) == 7
    assert told.sent[-1][0] == N


def test_without_a_master_each_sentinel_is_heard() -> None:
    with pytest.raises(OperationalError, match="s1:26379 knows no master of that name; s2:26379: refused"):
        carry(Told([None], Unreached("refused")), url=SENTINELS)
