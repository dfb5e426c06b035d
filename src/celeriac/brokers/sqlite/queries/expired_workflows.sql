-- Workflows that are over for long enough. ?1 at most so many.
SELECT id FROM workflow WHERE expires IS NOT NULL AND expires <= now() ORDER BY expires LIMIT ?1
