"""Assertions of the suite are part of the package; they shall explain themselves as those of a test do."""

import pytest

pytest.register_assert_rewrite("celeriac.testing.conformance")
