"""A whole installation of Celeriac on a virtual clock: producers, workers, a broker, and everything that goes wrong.

A run is decided by its seed alone: who runs when, what the network does, who dies. The worker's own code runs in it
(engine, fetcher, slots, settler, keeper with all its services, execution), on the memory driver's own store; only what
starts processes and threads, and what sends bytes, is replaced. Every request is seen by a checker at the moment when
the store carries it out. A run that breaks a promise names its seed, and the same seed does the same again.

``python -m celeriac.testing.simulation --seeds 1000`` runs many, ``--seed 17 --trace`` shows one.
"""

from celeriac.testing.simulation.report import Report
from celeriac.testing.simulation.run import simulate

__all__ = ["Report", "simulate"]
