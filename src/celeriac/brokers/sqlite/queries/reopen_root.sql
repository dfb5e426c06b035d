-- A workflow whose root is open is not over. ?1 workflow.
UPDATE workflow SET ended = NULL, expires = NULL
WHERE id = ?1 AND EXISTS (SELECT 1 FROM workflow_join WHERE workflow = ?1 AND number = 0 AND NOT closed)
