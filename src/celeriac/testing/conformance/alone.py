"""What is left of the contract for a message broker without a store (``stored`` is False).

There a lease is a connection, and nothing but messages is kept: no records, no times to ask for, no counts.
"""

from __future__ import annotations

from typing import Final

KEPT: Final = frozenset(
    {
        "batches-extend",
        "claim-a_delivery_names_its_message_and_its_owner",
        "claim-a_fresh_delivery_has_no_past",
        "claim-a_message_that_became_due_is_included_without_promotion",
        "claim-a_queue_named_twice_gives_its_messages_once",
        "claim-an_empty_store_gives_nothing",
        "claim-at_most_limit_messages_are_claimed_and_the_rest_stays",
        "claim-no_queues_and_no_room_give_nothing",
        "claim-only_the_queues_asked_for_are_looked_at",
        "claim-what_is_claimed_is_not_claimed_again",
        "concurrency-of_many_settlements_of_one_lease_one_counts",
        "delay-nothing_is_claimed_before_its_time",
        "delay-promotion_of_nothing_says_that_nothing_waits",
        "enqueue-a_large_body_comes_out_as_it_went_in",
        "enqueue-a_message_past_its_expiry_is_still_delivered",
        "enqueue-an_id_can_be_sent_again_when_it_is_over",
        "enqueue-no_messages_are_no_work",
        "enqueue-nothing_is_returned_for_new_messages",
        "enqueue-one_bad_message_keeps_the_whole_batch_out",
        "enqueue-order_is_that_of_the_batch_and_of_the_batches",
        "enqueue-what_no_broker_can_keep_is_refused_with_its_reason",
        "extend-a_lease_that_ran_out_but_was_not_reclaimed_goes_on",
        "extend-an_extended_lease_holds",
        "extend-an_unknown_owner_is_added",
        "extend-no_owners_are_no_work",
        "extend-one_extension_covers_everything_the_owner_holds",
        "fencing-a_finished_lease_settles_no_namesake",
        "fencing-a_lease_of_before_a_retry_is_over",
        "follow-ups-a_repeated_settlement_sends_them_once_even_after_they_ran",
        "follow-ups-one_settlement_may_have_more_than_a_batch_of_them",
        "follow-ups-they_belong_to_every_action",
        "follow-ups-they_keep_their_order",
        "holdings-who_holds_nothing_has_no_holdings",
        "hostile-bytes-what_cannot_be_read_is_delivered_as_bytes",
        "schema-install_makes_the_store_usable_and_tells_its_version",
        "schema-installing_again_changes_nothing",
        "schema-many_may_install_at_once",
        "settle-a_batch_may_hold_leases_of_several_owners",
        "settle-a_lease_never_given_is_returned",
        "settle-a_lease_that_ran_out_but_was_not_reclaimed_still_settles",
        "settle-a_retry_may_move_to_another_queue_and_priority",
        "settle-a_retry_that_is_due_already_runs_at_once",
        "settle-an_unknown_lease_is_returned",
        "settle-done_lets_the_message_go",
        "settle-settling_nothing_is_no_work",
        "start-an_unknown_id_is_returned",
        "start-starting_nothing_is_no_work",
        "waiter-a_consumer_that_looks_after_each_return_misses_nothing",
        "waiter-a_look_without_patience_returns_at_once",
        "waiter-a_wait_that_is_given_up_leaves_the_waiter_whole",
        "waiter-each_of_many_waiters_wakes",
        "waiter-it_gives_up_after_its_time",
        "waiter-it_wakes_for_a_follow_up",
        "waiter-it_wakes_for_a_message_given_back",
        "waiter-it_wakes_for_a_new_message",
        "waiter-it_wakes_for_a_new_time_to_keep",
        "waiter-it_wakes_for_what_another_connection_does",
    }
)
"""The names of the cases that such a broker must pass."""
