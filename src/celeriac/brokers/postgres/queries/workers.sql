-- The live workers and the age of their last heartbeat.
SELECT record, celeriac.now() - seen FROM celeriac.worker WHERE expires > celeriac.now() ORDER BY name
