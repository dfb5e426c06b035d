-- Seconds until the next message is due; no row if none waits.
SELECT due - now() FROM message WHERE state IN (1, 2) ORDER BY due LIMIT 1
