"""The command ``celeriac``: reads the command line and shows what the layers below found.

A command's module is loaded when the command is called, so that ``--help`` and small commands are quick. No command
shows a password, and none prints a traceback for what a person can put right; ``-l DEBUG`` shows it all the same.
"""
