-- Remember a part of a workflow that is there. ?1 workflow, ?2 number, ?3 record.
INSERT INTO workflow_part (workflow, number, record) SELECT ?1, ?2, ?3 FROM workflow WHERE id = ?1
ON CONFLICT (workflow, number) DO NOTHING
