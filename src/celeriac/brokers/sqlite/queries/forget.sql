-- Drop the record of worker ?1.
DELETE FROM worker WHERE name = ?1
