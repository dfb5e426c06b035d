"""The pure part: values and decisions.

Nothing in this folder does I/O, reads a clock (``clock.py`` apart), logs, or knows of threads and event loops, nor may
it be part of such a path. What is decided here is carried out elsewhere, and can be tested without a server.
"""
