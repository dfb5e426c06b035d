-- The answers to remote command ?1.
SELECT record FROM reply WHERE command_id = ?1 AND expires > now() ORDER BY seq
