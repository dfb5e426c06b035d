-- Who holds these messages? ?1 JSON array of seq.
SELECT seq, id, token, owner FROM message WHERE seq IN (SELECT value FROM json_each(?1)) AND state IN (3, 4)
