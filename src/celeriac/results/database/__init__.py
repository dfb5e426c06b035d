"""Results in any database that SQLAlchemy reaches: MySQL, MariaDB, PostgreSQL, SQLite and others."""
