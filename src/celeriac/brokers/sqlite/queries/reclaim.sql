-- Free up to ?2 messages that owner ?1 holds, or, where that is NULL, that are held without a lease. What must not simply
-- run again is leased to ?3: what was revoked, runs at most once and had begun, or has crashed ?4 times (0: no limit).
-- ?5 JSON array of [seq, token] of runs that are known to have begun; without an owner, all that were told of have. ?6: the
-- time after which nothing is freed where ?1 is NULL; NULL for never. The rows come in no order.
UPDATE message
SET
    state = CASE WHEN freed.verdict THEN 3 ELSE 0 END,
    owner = CASE WHEN freed.verdict THEN ?3 END,
    once = CASE WHEN freed.verdict THEN message.once ELSE 0 END,
    crashes = freed.crashes,
    token = message.token + 1,
    suspect = 1,
    changed = (SELECT now())
FROM (
    SELECT seq, crashes, revoked IS NOT NULL OR once OR (?4 > 0 AND crashes >= ?4) AS verdict
    FROM (
        SELECT
            seq,
            once,
            revoked,
            crashes + (
                (state = 4 AND ?1 IS NULL)
                OR (seq, token) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?5))
            ) AS crashes
        FROM message INDEXED BY message_held
        WHERE state IN (3, 4)
            AND CASE
                WHEN ?1 IS NOT NULL THEN owner = ?1
                ELSE (?6 IS NULL OR (SELECT now()) <= ?6) AND NOT EXISTS (
                    SELECT 1 FROM owner WHERE owner.name = message.owner AND owner.expires > (SELECT now())
                )
            END
        ORDER BY seq LIMIT ?2
    )
) AS freed
WHERE message.seq = freed.seq
RETURNING message.seq, id, state, token, crashes, revoked IS NOT NULL, payload
