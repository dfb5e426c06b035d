-- A page of a workflow's parts. ?1 workflow, ?2 after this number, ?3 at most so many.
SELECT number, record FROM workflow_part WHERE workflow = ?1 AND number > ?2 ORDER BY number LIMIT ?3
