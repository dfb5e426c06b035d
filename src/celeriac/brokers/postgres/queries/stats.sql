-- Queue, kind of state, count, and seconds since the oldest became ready.
SELECT queue, 'ready', count(*), (SELECT celeriac.now()) - min(changed) FROM celeriac.message WHERE state = 0
GROUP BY queue
UNION ALL
SELECT queue, 'scheduled', count(*), NULL FROM celeriac.message WHERE state IN (1, 2) GROUP BY queue
UNION ALL
SELECT queue, 'owned', count(*), NULL FROM celeriac.message WHERE state = 3 GROUP BY queue
UNION ALL
SELECT queue, 'dead', count(*), NULL FROM celeriac.message WHERE state = 5 GROUP BY queue
