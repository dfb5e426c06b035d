"""Small projects that run; each one is also run by the tests in ``tests/docs``."""
