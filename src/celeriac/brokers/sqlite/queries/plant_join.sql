-- Keep a join. ?1 workflow, ?2 number, ?3 size.
INSERT INTO workflow_join (workflow, number, size, remaining) VALUES (?1, ?2, ?3, ?3)
ON CONFLICT (workflow, number) DO NOTHING
