"""Results on Redis: one key for each, in the partition of its id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.operations.records import MAX_SCRIPT_BYTES, result_args
from celeriac.brokers.redis.requests import Argument, RedisOperation, Script
from celeriac.brokers.rules import opened_result
from celeriac.core.message import StoredResult


class ResultOperations:
    """A result store."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def store(self, results: Sequence[StoredResult]) -> RedisOperation[None]:
        for partition, args in self._parts(results):
            yield Script("store", (self.keys.root(partition),), args, repeatable=True)

    def progress(self, results: Sequence[StoredResult]) -> RedisOperation[tuple[str, ...]]:
        over: set[str] = set()
        for partition, args in self._parts(results):
            reply = yield Script("progress", (self.keys.root(partition),), args, repeatable=True)
            over.update(id.decode() for id in reply)
        return tuple([result.id for result in results if result.id in over])

    def fetch(self, ids: Sequence[str]) -> RedisOperation[list[StoredResult]]:
        found: dict[str, bytes] = {}
        for partition, some in by_partition(self.keys, ids):
            reply = yield Script("fetch", (self.keys.root(partition),), some, repeatable=True)
            found.update((id, value) for id, value in zip(some, reply, strict=True) if value is not None)
        return [opened_result(id, found[id][1:]) for id in dict.fromkeys(ids) if id in found]

    def discard(self, ids: Sequence[str]) -> RedisOperation[int]:
        count = 0
        for partition, some in by_partition(self.keys, ids):
            count += yield Script("discard", (self.keys.root(partition),), some)
        return count

    def _parts(self, results: Iterable[StoredResult]) -> Iterator[tuple[int, list[Argument]]]:
        """Yield the arguments of scripts that keep the results, none with too many bytes."""
        groups: defaultdict[int, list[Argument]] = defaultdict(list)
        sizes: defaultdict[int, int] = defaultdict(int)
        for result in results:
            partition = self.keys.of_id(result.id)
            args = result_args(result)
            if groups[partition] and sizes[partition] + len(args[2]) > MAX_SCRIPT_BYTES:
                yield partition, groups.pop(partition)
                sizes[partition] = 0
            groups[partition] += args
            sizes[partition] += len(args[2])
        yield from groups.items()


def by_partition(keys: Keys, ids: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the ids whose results are in each partition, once each."""
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for id in dict.fromkeys(ids):
        groups[keys.of_id(id)].append(id)
    yield from groups.items()
