-- Put an outcome into its slot, if it is the first and the join is there.
-- ?1 workflow, ?2 number, ?3 slot, ?4 failed, ?5 result, ?6 message.
INSERT INTO workflow_slot (workflow, number, slot, failed, result, message)
SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM workflow_join WHERE workflow = ?1 AND number = ?2)
ON CONFLICT (workflow, number, slot) DO NOTHING
