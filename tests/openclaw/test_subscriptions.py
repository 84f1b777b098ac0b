"""The queue of events for a subscriber has a limited size."""

import json
import threading

import pytest

from openclaw import EVENTS_MISSED, GatewayEvent, frames
from openclaw.frames import MAX_DIRECT_LENGTH, MAX_DIRECT_VALUES
from openclaw.subscriptions import MAX_QUEUE_SIZE, EventHub


async def make_event(number: int, size: int) -> GatewayEvent:
    payload = {"number": number, "text": "x" * size}
    frame = {"type": "event", "event": "chat", "payload": payload}
    event = await frames.decode_frame(json.dumps(frame))
    assert isinstance(event, GatewayEvent)
    return event


async def test_large_events_are_dropped_in_favour_of_later_ones() -> None:
    hub = EventHub()
    subscription = hub.subscribe("chat")
    for number in range(5):
        hub.publish(await make_event(number, MAX_QUEUE_SIZE // 2 - 1_000))
    assert await subscription.next_event() is EVENTS_MISSED
    assert [(await subscription.next_event()).payload["number"] for _ in range(2)] == [3, 4]

    hub.publish(await make_event(5, 10))
    assert (await subscription.next_event()).payload["number"] == 5


async def test_an_event_larger_than_the_queue_is_missed() -> None:
    hub = EventHub()
    subscription = hub.subscribe("chat")
    hub.publish(await make_event(0, MAX_QUEUE_SIZE + 1))
    assert await subscription.next_event() is EVENTS_MISSED
    hub.publish(await make_event(1, 10))
    assert (await subscription.next_event()).payload["number"] == 1


@pytest.mark.parametrize("count", [1, MAX_DIRECT_VALUES])
async def test_halves_of_characters_are_replaced_in_all_texts(count: int) -> None:
    payload = {"\ud800": [["a\udc00b"], {"c": "\ud83d\ude00 \ud83d"}], "rest": [0] * count}
    colliding = dict.fromkeys(("one\ud800", "one\ud801"), 1)
    frame = {"type": "event", "event": "chat", "payload": payload | {"both": colliding}}
    event = await frames.decode_frame(json.dumps(frame))
    assert isinstance(event, GatewayEvent)
    assert event.payload["\ufffd"] == [["a\ufffdb"], {"c": "\U0001f600 \ufffd"}]
    # What would lose a value is kept, so that requests with it are not shown.
    assert event.payload["both"] == colliding


@pytest.mark.parametrize(("letters", "count"), [(1, frames.SLICE_LENGTH), (MAX_DIRECT_LENGTH, 1)])
async def test_halves_of_characters_in_long_frames_are_replaced_in_a_thread(
    monkeypatch: pytest.MonkeyPatch, letters: int, count: int
) -> None:
    """25 MB of them would hold the event loop for a quarter of a second, and so would one of them.

    All texts of its frame are searched.
    """
    threads: list[str] = []
    replace = frames.LONE_SURROGATE

    class Pattern:
        def sub(self, replacement: str, text: str) -> str:
            threads.append(threading.current_thread().name)
            assert len(text) <= frames.SLICE_LENGTH
            return replace.sub(replacement, text)

    monkeypatch.setattr(frames, "LONE_SURROGATE", Pattern())
    text = "a" * letters
    payload = {"text": f"{text}\udc00" * count}
    event = await frames.decode_frame(
        json.dumps({"type": "event", "event": "chat", "payload": payload})
    )
    assert isinstance(event, GatewayEvent)
    assert event.payload["text"] == f"{text}\ufffd" * count
    assert threading.current_thread().name not in threads
