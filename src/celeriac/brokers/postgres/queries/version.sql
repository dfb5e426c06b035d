-- Of which version is the schema?
SELECT version FROM celeriac.schema_version
