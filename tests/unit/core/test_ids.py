"""Ids are UUIDs; ids of follow-ups are a function of what they follow, for ever."""

import subprocess
import sys
import time
import uuid

from hypothesis import given
from hypothesis import strategies as st

from celeriac.core.ids import MAX_ID_BYTES, follow_up_id, new_id


def test_a_new_id_is_a_uuid_of_its_time_in_its_usual_spelling() -> None:
    for _ in range(200):
        before = time.time_ns() // 1_000_000
        text = new_id()
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 7
        assert before <= parsed.int >> 80 <= time.time_ns() // 1_000_000
        assert parsed.variant == uuid.RFC_4122


def test_new_ids_do_not_repeat() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_a_forked_process_hands_out_other_ids_than_its_parent() -> None:
    code = (
        "import os\n"
        "from celeriac.core.ids import new_id\n"
        "new_id()\n"
        "child = os.fork()\n"
        "os.write(1, f'{new_id()}\\n'.encode())\n"
        "child and os.waitpid(child, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    ids = done.stdout.split()
    assert len(ids) == 2
    assert ids[0] != ids[1]


def test_every_random_bit_of_a_new_id_varies() -> None:
    ones = zeros = 0
    for _ in range(200):
        value = uuid.UUID(new_id()).int
        ones |= value
        zeros |= ~value
    fixed = (0xF << 76) | (0x3 << 62)
    assert (ones & zeros) & ((1 << 80) - 1) == ((1 << 80) - 1) ^ fixed


def test_a_new_id_fits_a_slot_table() -> None:
    assert len(new_id().encode()) <= MAX_ID_BYTES


def test_a_follow_up_of_an_older_release_keeps_its_id() -> None:
    # While a fleet is upgraded, an old and a new worker may do the same step. Other ids would run the step twice.
    assert follow_up_id("210fdd79-97eb-4fbe-a1ea-9cc9fdd00d87", "chain") == "6637fe95-2edc-5657-ac1e-41bddf5371dd"
    assert follow_up_id("käse/ö", "chord") == "d46ed64c-009f-5e67-a2e3-710abddd5f5d"


def test_a_slash_in_an_id_does_not_make_two_steps_one() -> None:
    assert follow_up_id("a/b", "c") != follow_up_id("a", "b/c")
    assert follow_up_id("3:a", "b/x") != follow_up_id("a/b", "x")


ids = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable())
steps = st.from_regex(r"[a-z]+([:/][0-9]+)?", fullmatch=True)


@given(ids, steps, ids, steps)
def test_follow_ups_share_an_id_only_if_they_are_the_same(parent: str, step: str, other: str, next_step: str) -> None:
    same = (parent, step) == (other, next_step)
    assert (follow_up_id(parent, step) == follow_up_id(other, next_step)) is same


@given(ids, steps)
def test_a_follow_up_never_has_the_id_of_its_parent(parent: str, step: str) -> None:
    child = follow_up_id(parent, step)
    assert child != parent
    assert follow_up_id(child, step) != child
    assert str(uuid.UUID(child)) == child
