"""The SQLite driver: one file, no server, many processes of one machine."""
