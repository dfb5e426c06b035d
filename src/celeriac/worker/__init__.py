"""The worker: a supervisor, its keeper thread, and child processes that run tasks.

Who creates whom: the supervisor starts the keeper (leases, reaping, remote commands) and N children; each child has an
engine thread (claiming, settling, coroutines) and sync slots (its main thread, or ``threads`` threads).
"""
