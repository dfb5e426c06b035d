-- How far a join is. ?1 workflow, ?2 number.
SELECT size, failed FROM workflow_join WHERE workflow = ?1 AND number = ?2
