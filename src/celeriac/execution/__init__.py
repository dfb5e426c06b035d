"""Running one delivery, from bytes to settlement.

The worker, eager mode and tests all run tasks through this package, so that they cannot differ.
"""
