"""Chance, which spreads over time what must not happen at once: pauses between attempts, the order of servers.

It is a generator of the library's own: an application that seeds Python's gets the same numbers with and without us,
and a process that was forked gets other ones than its parent.
"""

from __future__ import annotations

import os
import random
from typing import Final

SYSTEM_RNG: Final = random.Random()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SYSTEM_RNG.seed)
