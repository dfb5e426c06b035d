-- Keep a workflow. ?1 id, ?2 keep, ?3 record.
INSERT INTO workflow (id, created, keep, record) VALUES (?1, now(), ?2, ?3) ON CONFLICT (id) DO NOTHING
