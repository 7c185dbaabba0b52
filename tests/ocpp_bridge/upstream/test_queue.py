"""The queue of what a back end has not confirmed: order, repetition, bound, refusals."""

import pytest

from ocpp_bridge.store import Store
from ocpp_bridge.upstream.queue import UpstreamQueue
from ocpp_bridge.wire import Call


@pytest.fixture
def queue(tmp_path):
    store = Store(tmp_path / "outbox.sqlite")
    yield UpstreamQueue(store)
    store.close()


def drain(queue, station_id="CP-1"):
    found = []
    while (kept := queue.first(station_id)) is not None:
        found.append(kept.call)
        queue.done(kept)
    return found


def meter(k):
    return Call(f"m{k}", "MeterValues", {"transactionId": 5, "value": k})


def test_messages_leave_in_order_and_a_boot_first(queue):
    calls = [Call("1", "StartTransaction", {"connectorId": 1}), meter(1), Call("2", "StopTransaction", {})]
    for one in calls:
        assert queue.put("CP-1", one, most=100)
    boot = Call("3", "BootNotification", {})
    assert queue.put("CP-1", boot, most=100, replaces="boot", is_first=True)
    assert queue.put("CP-2", meter(9), most=100)
    assert drain(queue) == [boot, *calls]
    assert drain(queue, "CP-2") == [meter(9)]


def test_a_message_told_twice_is_kept_once(queue):
    assert queue.put("CP-1", meter(1), most=100)
    assert not queue.put("CP-1", Call("other id", "MeterValues", meter(1).payload), most=100)
    assert queue.waiting("CP-1") == 1


def test_of_statuses_the_newest_counts(queue):
    for status in ("Preparing", "Charging"):
        queue.put("CP-1", Call(status, "StatusNotification", {"status": status}), most=100, replaces="status:1")
    assert [one.payload["status"] for one in drain(queue)] == ["Charging"]


def test_a_full_queue_thins_out_meter_values_and_keeps_transactions(queue):
    queue.put("CP-1", Call("s", "StartTransaction", {}), most=5)
    for k in range(20):
        queue.put("CP-1", meter(k), most=5)
    queue.put("CP-1", Call("u", "TransactionEvent", {"eventType": "Updated"}), most=5)
    queue.put("CP-1", Call("e", "StopTransaction", {}), most=5)
    for k in range(8):
        queue.put("CP-1", Call(f"e{k}", "TransactionEvent", {"eventType": "Ended", "seqNo": k}), most=5)
    kept = [one.action for one in drain(queue)]
    assert kept == ["StartTransaction", "StopTransaction", *["TransactionEvent"] * 8]


def test_a_refused_message_is_tried_again_and_then_set_aside(queue):
    queue.put("CP-1", meter(1), most=100, local_id=77)
    queue.put("CP-1", meter(2), most=100)
    first = queue.first("CP-1")
    assert (first.attempts, first.local_id) == (0, 77)
    queue.refused(first, "InternalError", is_final=False)
    again = queue.first("CP-1")
    assert (again.position, again.attempts) == (first.position, 1)
    queue.refused(again, "InternalError", is_final=True)
    assert (queue.waiting("CP-1"), queue.set_aside("CP-1")) == (1, 1)
    assert drain(queue) == [meter(2)]
