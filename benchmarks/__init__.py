"""Measurements of Celeriac beside its peers; ``python -m benchmarks --help`` says how."""
