-- Drop the cancelled messages that wait.
DELETE FROM message WHERE state IN (0, 1, 2) AND id IN (?/*items*/)
