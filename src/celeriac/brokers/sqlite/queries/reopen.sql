-- Empty a slot in which a failure lies. ?1 workflow, ?2 number, ?3 slot.
DELETE FROM workflow_slot WHERE workflow = ?1 AND number = ?2 AND slot = ?3 AND failed RETURNING slot
