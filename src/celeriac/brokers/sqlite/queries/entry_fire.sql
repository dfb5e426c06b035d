-- Advance a schedule entry. ?1 next due, ?2 state; ?3 name, ?4 edition, ?5 due.
UPDATE entry SET due = ?1, state = ?2 WHERE name = ?3 AND edition = ?4 AND due IS ?5
