-- Count again what a join has, once slots were emptied. ?1 workflow, ?2 number.
UPDATE workflow_join
SET remaining = size - (SELECT count(*) FROM workflow_slot WHERE workflow = ?1 AND number = ?2),
    failed = (SELECT min(slot) FROM workflow_slot WHERE workflow = ?1 AND number = ?2 AND failed),
    closed = number <> 0 AND EXISTS (SELECT 1 FROM workflow_slot WHERE workflow = ?1 AND number = ?2 AND failed)
WHERE workflow = ?1 AND number = ?2
    AND remaining < size - (SELECT count(*) FROM workflow_slot WHERE workflow = ?1 AND number = ?2)
