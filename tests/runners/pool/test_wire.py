"""Frames: what is packed comes out again, however the bytes arrive, and one bad value spoils no other."""

from __future__ import annotations

import os
import pickle
import socket
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.message import MAX_MESSAGE, bounded
from runners.pool.arena import MIN_BYTES, NOWHERE, Arena
from runners.pool.batch import pack, to_batch
from runners.pool.records import to_record, unpickled_error
from runners.pool.slot import POSITION, arenas_behind, create_slot, open_slot
from runners.pool.wire import RESULTS, Frame, Inbox, send_all, to_parts
from tests.runners import faults
from tests.runners.test_process import Buffered

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner))


def journey(parts: list[Any], memory: bytearray | None = None) -> Frame:
    """Through a real socket, from another thread, since a large frame does not fit in it."""
    ours, theirs = socket.socketpair()
    inbox = Inbox(memoryview(memory or b""))
    with ours, theirs:
        sender = threading.Thread(target=send_all, args=(theirs, parts))
        sender.start()
        while (frame := inbox.next_frame()) is None:
            assert inbox.receive(ours)
        sender.join()
        return frame


def frame_of(items: list[Any], arena: Arena | None = None) -> list[Any]:
    packed = pack(items)
    assert packed.crash is None
    return to_parts(RESULTS, 3, 0.5, packed.head, packed.body, all_plain=packed.all_plain, arena=arena)


@given(st.lists(values, max_size=20))
def test_what_is_packed_comes_out_again(items: list[Any]) -> None:
    batch = to_batch(journey(frame_of(items)))

    assert (batch.first, list(batch.values), dict(batch.crashes)) == (3, items, {})


@given(st.lists(values | st.binary(min_size=900, max_size=30_000), max_size=20), st.integers(0, 100_000))
def test_what_is_packed_comes_out_again_through_shared_memory(items: list[Any], size: int) -> None:
    memory = bytearray(size)
    batch = to_batch(journey(frame_of(items, Arena(memoryview(memory))), memory))

    assert (list(batch.values), dict(batch.crashes)) == (items, {})


def test_a_body_never_lies_where_an_unread_one_is() -> None:
    memory = bytearray(3 * MIN_BYTES)
    arena = Arena(memoryview(memory))
    bodies = [bytes([number]) * MIN_BYTES for number in range(5)]

    first = [arena.place([body], MIN_BYTES) for body in bodies[:4]]
    arena.forget(2)
    second = [arena.place([body[:10], body[10:]], MIN_BYTES) for body in bodies[3:]]

    assert first == [0, MIN_BYTES, 2 * MIN_BYTES, NOWHERE]
    assert second == [0, MIN_BYTES]
    assert bytes(memory) == bodies[3] + bodies[4] + bodies[2]


def test_a_small_body_stays_with_its_frame() -> None:
    assert Arena(memoryview(bytearray(100_000))).place([b"x"], 1) == NOWHERE


def test_buffers_do_not_lie_in_shared_memory_because_values_go_on_to_use_them() -> None:
    memory = bytearray(1_000_000)
    value = Buffered(bytearray(b"x") * 100_000)
    frame = journey(frame_of([value], Arena(memoryview(memory))), memory)

    assert to_batch(frame).values[0].data == value.data
    assert not any(memory)


@pytest.mark.parametrize("size", [65_535, 65_536, 300_000, 10_000_000])
def test_large_values_arrive_whole(size: int) -> None:
    for item in (b"x" * size, {"nested": b"y" * size}, bytearray(size)):
        assert to_batch(journey(frame_of([item]))).values == [item]


def test_a_chunk_is_closed_when_it_is_large_enough() -> None:
    assert len(pack([b"x" * 100_000] * 10).head) == 3


def test_a_value_that_does_not_pickle_ends_the_packing_there() -> None:
    packed = pack([1, {}, threading.Lock(), 4])

    assert len(packed.head) == 2
    assert packed.crash is not None
    assert packed.crash.kind == "invalid"


def test_a_value_that_does_not_unpickle_spoils_no_other() -> None:
    batch = to_batch(journey(frame_of([[1], faults.Poison(), [3]])))

    assert list(batch.values) == [[1], None, [3]]
    assert list(batch.crashes) == [4]


def test_a_long_message_is_cut_and_says_so() -> None:
    assert bounded("x" * MAX_MESSAGE) == "x" * MAX_MESSAGE
    assert bounded("x" * (MAX_MESSAGE + 1)).endswith("... (cut; 10,001 characters in all)")


def test_a_record_is_readable_whatever_the_exception() -> None:
    for error in (ValueError("v"), faults.NeedyError(1, "n"), faults.MuteError(), SystemExit(3)):
        record = to_record("error", error, -1, 0.0, 0)

        assert pickle.loads(pickle.dumps(record)) == record
        assert record[1] == type(error).__name__


def test_only_exceptions_that_survive_come_back() -> None:
    assert repr(unpickled_error(to_record("error", ValueError("v"), -1, 0.0, 0)[6])) == "ValueError('v')"
    assert unpickled_error(to_record("error", faults.NeedyError(1, "n"), -1, 0.0, 0)[6]) is None
    assert unpickled_error(to_record("error", SystemExit(3), -1, 0.0, 0)[6]) is None


def test_without_memory_files_a_slot_is_in_a_temporary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    descriptor = create_slot()
    try:
        here, there = open_slot(descriptor), open_slot(descriptor)
        here[POSITION] = 7.0

        assert there[POSITION] == 7.0
        assert all(len(arena) for arena in arenas_behind(there))
    finally:
        os.close(descriptor)
