-- Keep the remote command ?2 for ?1 seconds.
INSERT INTO command (expires, record) VALUES (now() + ?1, ?2)
