"""The last that the fork server imports: what is there by now stays where it is, in memory that children share.

A collection of garbage writes to every object that it looks at, and so makes a copy of its page in each child.
"""

from __future__ import annotations

import gc

gc.collect()
gc.freeze()
