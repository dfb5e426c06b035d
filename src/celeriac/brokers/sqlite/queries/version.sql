-- Whose file this is, and the version of its schema.
SELECT application_id, user_version FROM pragma_application_id, pragma_user_version
