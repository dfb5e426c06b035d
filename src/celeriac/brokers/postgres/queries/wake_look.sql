-- When were waiters last woken? For connections that cannot listen.
SELECT w.last_value, r.last_value FROM celeriac.wake_work AS w, celeriac.wake_result AS r
