-- Parts that steps have added to workflows while they ran. record: a packed Part of core/workflow.py.
CREATE TABLE workflow_part (
    workflow TEXT NOT NULL,
    number INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (workflow, number)
) WITHOUT ROWID;
