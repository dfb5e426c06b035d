-- Queue, kind of state, count, and seconds since the oldest became ready. Each part reads one index and no table.
SELECT queue, 'ready', count(*), now() - min(changed) FROM message INDEXED BY message_ready WHERE state = 0
GROUP BY queue
UNION ALL
SELECT queue, 'scheduled', count(*), NULL FROM message INDEXED BY message_due WHERE state IN (1, 2) GROUP BY queue
UNION ALL
SELECT queue, 'owned', count(*), NULL FROM message INDEXED BY message_held WHERE state IN (3, 4) GROUP BY queue
UNION ALL
SELECT queue, 'dead', count(*), NULL FROM message INDEXED BY message_dead WHERE state = 5 GROUP BY queue
