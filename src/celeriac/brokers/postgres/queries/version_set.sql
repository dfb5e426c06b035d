-- The schema has this version now.
UPDATE celeriac.schema_version SET version = $1
