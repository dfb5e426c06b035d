-- The answers to remote command $1.
SELECT record FROM celeriac.reply WHERE command_id = $1 AND expires > celeriac.now() ORDER BY seq
