"""A sealed driver is a driver: signing and encrypting changes nothing that callers can see.

Every case of the suite, but in one mode: how a driver is driven is the facade's matter, and looked at elsewhere.
"""

from pathlib import Path

import pytest

from celeriac.brokers.port import AnyDriver
from celeriac.brokers.sealed import SealedDriver
from celeriac.core.security import Guard
from celeriac.testing.conformance import Case, applicable, run
from tests.conformance.test_brokers import DRIVERS, Bound, OnVirtualTime

KEYS = {
    "both": Guard(signing={"s": b"s" * 32}, encryption={"e": b"e" * 32}, window=1e12),
    "signed": Guard(signing={"s": b"s" * 32}, encryption={}, window=1e12),
}
ON_VIRTUAL_TIME = [one for one in DRIVERS if one.name in ("memory", "sqlite")]


class Sealed:
    """A binding whose driver seals."""

    def __init__(self, bound: Bound, guard: Guard, directory: Path) -> None:
        binding = bound.bind(directory)
        assert isinstance(binding, OnVirtualTime)
        self._binding = binding
        self._guard = guard
        self.lease = self._binding.lease
        self.now = self._binding.now
        self.advance = self._binding.advance

    def connect(self) -> AnyDriver:
        driver: AnyDriver = self._binding.connect()
        return SealedDriver(driver, self._guard, self._binding.clock)


@pytest.mark.parametrize(
    ("driver", "keys", "case"),
    [
        pytest.param(driver, keys, case, id=f"{driver.name}-{keys}-{case}")
        for driver, keys in zip(ON_VIRTUAL_TIME, KEYS, strict=True)
        for case in applicable(driver.capabilities)
        if "hostile-bytes" not in str(case)  # What cannot be read cannot be sealed in the first place.
    ],
)
def test_a_sealed_driver_keeps_the_contract(driver: Bound, keys: str, case: Case, tmp_path: Path) -> None:
    run(case, Sealed(driver, KEYS[keys], tmp_path), "sync")
