-- Give role ?1 to ?2 for ?3 seconds, unless another has it. A row comes back if ?2 has it now.
INSERT INTO role (name, holder, expires) VALUES (?1, ?2, now() + ?3)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires = excluded.expires
WHERE role.holder = excluded.holder OR role.expires <= now()
RETURNING 1
