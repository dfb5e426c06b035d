-- The remote commands after cursor $1 (NULL: none), and the number of the last that there has been.
SELECT e.value, c.seq, c.record
FROM celeriac.command_end AS e
LEFT JOIN celeriac.command AS c ON c.seq > $1 AND c.seq <= e.value AND c.expires > celeriac.now()
ORDER BY c.seq
