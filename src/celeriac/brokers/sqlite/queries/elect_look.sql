-- Does somebody other than ?2 have role ?1?
SELECT 1 FROM role WHERE name = ?1 AND holder <> ?2 AND expires > now()
