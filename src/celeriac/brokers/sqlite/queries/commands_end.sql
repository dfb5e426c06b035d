-- The cursor of the last remote command that there has been.
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'command'), 0)
