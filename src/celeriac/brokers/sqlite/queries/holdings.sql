-- What does owner ?1 hold?
SELECT seq, id, token FROM message INDEXED BY message_held WHERE state IN (3, 4) AND owner = ?1
