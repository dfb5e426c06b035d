-- Workflows: what is stored once of each, joins, what waits for them, and what has arrived in them.

-- keep: seconds for which it is kept once it is over. record: the packed graph.
CREATE TABLE workflow (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created REAL NOT NULL,
    ended REAL,
    expires REAL,
    keep REAL,
    record BLOB NOT NULL
);
CREATE INDEX workflow_expires ON workflow (expires) WHERE expires IS NOT NULL;

-- number 0 is the root, in which the last steps arrive. failed: the first slot in which a failure arrived.
CREATE TABLE workflow_join (
    workflow TEXT NOT NULL,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    remaining INTEGER NOT NULL,
    failed INTEGER,
    closed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (workflow, number)
) WITHOUT ROWID;

-- What becomes ready when a join is closed. delay: seconds after that.
CREATE TABLE workflow_message (
    workflow TEXT NOT NULL,
    number INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    queue TEXT NOT NULL,
    task TEXT NOT NULL,
    priority INTEGER NOT NULL,
    eta REAL,
    delay REAL,
    payload BLOB NOT NULL,
    PRIMARY KEY (workflow, number, seq)
) WITHOUT ROWID;

-- message: of a step that failed itself, to be tried again by hand.
CREATE TABLE workflow_slot (
    workflow TEXT NOT NULL,
    number INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    result BLOB NOT NULL,
    message BLOB,
    PRIMARY KEY (workflow, number, slot)
) WITHOUT ROWID;

CREATE TRIGGER workflow_arrive AFTER INSERT ON workflow_slot
BEGIN
    UPDATE workflow_join
    SET remaining = remaining - 1, failed = CASE WHEN NEW.failed THEN coalesce(failed, NEW.slot) ELSE failed END
    WHERE workflow = NEW.workflow AND number = NEW.number;
END;

-- The root is closed by the last arrival, any other also by the first failure. core/workflow.py has the same rule.
CREATE TRIGGER workflow_close AFTER UPDATE OF remaining ON workflow_join
WHEN NEW.remaining < OLD.remaining AND NOT NEW.closed
    AND (NEW.remaining <= 0 OR (NEW.failed IS NOT NULL AND NEW.number <> 0))
BEGIN
    UPDATE workflow_join SET closed = 1 WHERE workflow = NEW.workflow AND number = NEW.number;
    INSERT INTO message (id, queue, task, priority, state, due, changed, payload)
    SELECT id, queue, task, priority, at IS NOT NULL AND at > now(), CASE WHEN at > now() THEN at END, now(), payload
    FROM (
        SELECT *, CASE WHEN delay IS NULL THEN eta ELSE now() + delay END AS at FROM workflow_message
        WHERE workflow = NEW.workflow AND number = NEW.number ORDER BY seq
    )
    WHERE true
    ON CONFLICT (id) DO NOTHING;
    UPDATE workflow SET ended = now(), expires = now() + keep WHERE id = NEW.workflow AND NEW.number = 0;
END;
