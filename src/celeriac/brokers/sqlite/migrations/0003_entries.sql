-- Schedule entries.

-- record: what the entry says. due: when it is due next, if it waits. state: what became of it; only firing changes it.
CREATE TABLE entry (
    name TEXT PRIMARY KEY NOT NULL,
    edition INTEGER NOT NULL,
    due REAL,
    state BLOB NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX entry_due ON entry (due) WHERE due IS NOT NULL;
