-- Put a step's outcome into its slot if its lease holds, and, where the message would go on, a revocation overrules that.
-- ?1 workflow, ?2 number, ?3 slot, ?4 failed, ?5 result, ?6 message; ?7 seq, ?8 token, ?9 owner, ?10 it would go on.
INSERT INTO workflow_slot (workflow, number, slot, failed, result, message)
SELECT ?1, ?2, ?3, ?4, ?5, ?6
WHERE EXISTS (
    SELECT 1 FROM message
    WHERE seq = ?7 AND token = ?8 AND owner = ?9 AND state IN (3, 4) AND (NOT ?10 OR revoked IS NOT NULL)
) AND EXISTS (SELECT 1 FROM workflow_join WHERE workflow = ?1 AND number = ?2)
ON CONFLICT (workflow, number, slot) DO NOTHING
