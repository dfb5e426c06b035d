-- Drop the cancelled messages that nobody holds.
DELETE FROM message WHERE state NOT IN (3, 4) AND id IN (?/*items*/)
