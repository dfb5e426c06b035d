-- What does this owner hold?
SELECT seq, id, token FROM celeriac.message WHERE state = 3 AND owner = $1
