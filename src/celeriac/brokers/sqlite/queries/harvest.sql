-- What lies in the slots of a join. ?1 workflow, ?2 number, ?3 after this slot, ?4 at most so many, ?5 up to this slot.
SELECT slot, failed, result, message FROM workflow_slot
WHERE workflow = ?1 AND number = ?2 AND slot > ?3 AND slot <= ?5 ORDER BY slot LIMIT ?4
