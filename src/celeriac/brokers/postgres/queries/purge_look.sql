-- The last message there has been.
SELECT last_value FROM celeriac.message_seq_seq
