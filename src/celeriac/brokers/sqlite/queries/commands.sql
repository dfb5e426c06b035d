-- The remote commands after cursor ?1.
SELECT seq, record FROM command WHERE seq > ?1 AND expires > now() ORDER BY seq
