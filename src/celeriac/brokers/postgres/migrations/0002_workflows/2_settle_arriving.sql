-- Settle, as settle() does, where some of the settlements have outcomes of steps with them.
-- a_*: the outcomes; n: the place of the settlement that each belongs to. One of a message that would go on (yields) is
-- put into its slot only if a revocation made the message go.
CREATE FUNCTION celeriac.settle_arriving(
    p_seq bigint[], p_id text[], p_token bigint[], p_owner text[], p_tally text[],
    p_state smallint[], p_yields boolean[], p_due double precision[], p_queue text[], p_priority smallint[],
    p_task text[], p_payload bytea[], p_crashed boolean[], p_reason text[],
    r_n integer[], r_id text[], r_over boolean[], r_expires double precision[], r_payload bytea[],
    f_n integer[], f_id text[], f_queue text[], f_task text[], f_priority smallint[], f_eta double precision[],
    f_payload bytea[],
    a_n integer[], a_workflow text[], a_number bigint[], a_slot integer[], a_failed boolean[], a_result bytea[],
    a_message bytea[]
) RETURNS integer[] LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    lost integer[] := celeriac.settle(
        p_seq, p_id, p_token, p_owner, p_tally, p_state, p_yields, p_due, p_queue, p_priority, p_task, p_payload,
        p_crashed, p_reason, r_n, r_id, r_over, r_expires, r_payload, f_n, f_id, f_queue, f_task, f_priority, f_eta,
        f_payload
    );
BEGIN
    PERFORM celeriac.arrive(
        array_agg(workflow), array_agg(number), array_agg(slot), array_agg(failed), array_agg(result),
        array_agg(message)
    )
    FROM unnest(a_n, a_workflow, a_number, a_slot, a_failed, a_result, a_message)
        AS a (n, workflow, number, slot, failed, result, message)
    WHERE n <> ALL (lost) AND (
        NOT coalesce(p_yields[n], false)
        OR NOT EXISTS (SELECT 1 FROM celeriac.message m WHERE m.seq = p_seq[n])
    )
    HAVING count(*) > 0;
    RETURN lost;
END $$;
