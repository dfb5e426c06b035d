"""The memory driver: ``memory://`` and ``memory://name``."""
