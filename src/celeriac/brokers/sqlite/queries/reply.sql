-- Keep the answer ?3 to remote command ?1 for ?2 seconds.
INSERT INTO reply (command_id, expires, record) VALUES (?1, now() + ?2, ?3)
