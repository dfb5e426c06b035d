"""The driver for Redis and Valkey: one Lua script for each operation."""
