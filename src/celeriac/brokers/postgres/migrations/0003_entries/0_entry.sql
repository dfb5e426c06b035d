-- Schedule entries.
-- record: what the entry says. due: when it is due next, if it waits. state: what became of it; only firing changes it.
CREATE TABLE celeriac.entry (
    edition bigint NOT NULL,
    due double precision,
    name text COLLATE "C" PRIMARY KEY,
    state bytea NOT NULL,
    record bytea NOT NULL
) WITH (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX entry_due ON celeriac.entry (due) WHERE due IS NOT NULL;
