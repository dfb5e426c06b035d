-- The live workers and the age of their last heartbeat.
SELECT record, now() - seen FROM worker WHERE expires > now() ORDER BY name
