-- The first schema.

-- One task message, from enqueueing until it is settled for good.
-- state: 0 PENDING, 1 SCHEDULED, 2 RETRY, 3 RECEIVED, 4 STARTED, 5 DEAD.
-- changed: when the state was reached. due: where it waits for its time. owner, token: who holds it.
-- suspect, crashes: runs lost to dying processes. once: it runs at most once, and has begun.
-- revoked: the result to store when its owner gives it back. Times are seconds since the epoch.
CREATE TABLE message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    queue TEXT NOT NULL,
    task TEXT NOT NULL,
    priority INTEGER NOT NULL,
    state INTEGER NOT NULL,
    changed REAL NOT NULL,
    due REAL,
    owner TEXT,
    token INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    suspect INTEGER NOT NULL DEFAULT 0,
    once INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    revoked BLOB,
    revoked_expires REAL,
    payload BLOB NOT NULL
);
CREATE UNIQUE INDEX message_id ON message (id);
-- Each of these holds only the messages of its states, so that a backlog costs a claim nothing. Columns after those that
-- are searched by are there for counting without a look at the table.
CREATE INDEX message_ready ON message (queue, priority DESC, seq, changed) WHERE state = 0;
CREATE INDEX message_due ON message (due, queue) WHERE state IN (1, 2);
CREATE INDEX message_held ON message (owner, queue) WHERE state IN (3, 4);
CREATE INDEX message_dead ON message (changed, queue) WHERE state = 5;

-- Leases are fenced by seq, so no file may give out the numbers of a file that was in its place before.
INSERT INTO sqlite_sequence (name, seq)
VALUES ('message', (CAST(strftime('%s', 'now') AS INTEGER) - 1600000000) << 18);

-- A child process of a worker and until when it owns what it holds. ended: a reclaim took that away, and it has not been
-- told yet.
CREATE TABLE owner (
    name TEXT PRIMARY KEY,
    expires REAL NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- How a task ended, or how far it is. over: the task is over, so nothing interim may replace this.
-- With row numbers: ids are random, so that without them each result would change a page of its own.
CREATE TABLE result (
    id TEXT PRIMARY KEY NOT NULL,
    over INTEGER NOT NULL,
    expires REAL,
    payload BLOB NOT NULL
);
CREATE INDEX result_expires ON result (expires) WHERE expires IS NOT NULL;

-- How many settlements there have been.
CREATE TABLE tally (
    task TEXT NOT NULL,
    state TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (task, state)
) WITHOUT ROWID;

CREATE TABLE worker (
    name TEXT PRIMARY KEY,
    seen REAL NOT NULL,
    expires REAL NOT NULL,
    record BLOB NOT NULL
) WITHOUT ROWID;

-- The number of the last call of enqueue of a sender, and of the one before it.
CREATE TABLE sender (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    before INTEGER NOT NULL DEFAULT 0,
    expires REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE role (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE command (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    expires REAL NOT NULL,
    record BLOB NOT NULL
);

CREATE TABLE reply (
    seq INTEGER PRIMARY KEY,
    command_id TEXT NOT NULL,
    expires REAL NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX reply_command ON reply (command_id);
CREATE INDEX reply_expires ON reply (expires);
