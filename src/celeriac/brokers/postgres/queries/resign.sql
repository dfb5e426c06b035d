-- Give role $1 up, if $2 has it.
DELETE FROM celeriac.role WHERE name = $1 AND holder = $2
