"""A handler that raises, as soft time limits and Ctrl-C have it, may end a call to the server at any point of it."""

import os
import random
import signal
import warnings

from celeriac.brokers import open_broker
from celeriac.brokers.redis.links import pack
from celeriac.core.message import StoredResult
from tests.support.servers import RedisServer


class Interrupted(Exception):
    """What a soft time limit raises."""


def interrupted_calls(url: str, calls: int) -> int:
    """Make calls, most of which are interrupted somewhere; return how many were told something wrong."""
    rng, armed, wrong = random.Random(1), False, 0

    def interrupt(*_: object) -> None:
        if armed:
            raise Interrupted

    signal.signal(signal.SIGALRM, interrupt)
    warnings.simplefilter("ignore", ResourceWarning)  # Of sockets that redis-py had not yet taken hold of.
    with open_broker(url) as broker:
        broker.store([StoredResult(id=str(n), state="SUCCESS", body=str(n).encode()) for n in range(50)])
        for n in range(calls):
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, rng.random() * 0.001 + 1e-5)
                (found,) = broker.fetch([str(n % 50)])
                pack([[n, 1.5, n, 2.5] * 100])
                armed = False
                wrong += found.body != str(n % 50).encode()
            except Interrupted:
                armed = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    return wrong


def test_an_interrupted_call_spoils_no_other(server: RedisServer) -> None:
    """Nor does one crash the process, when it is interrupted within the C code of the client."""
    code = 1
    child = os.fork()
    if child == 0:
        try:
            code = 0 if interrupted_calls(server.url, 3000) == 0 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
