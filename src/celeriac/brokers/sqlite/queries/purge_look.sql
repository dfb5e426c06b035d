-- The last message there has been.
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'message'), 0)
