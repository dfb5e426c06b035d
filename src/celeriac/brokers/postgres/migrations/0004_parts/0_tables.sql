-- Parts that steps have added to workflows while they ran. record: a packed Part of core/workflow.py.
CREATE TABLE celeriac.workflow_part (
    workflow text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    record bytea NOT NULL,
    PRIMARY KEY (workflow, number)
);
