"""What waits for who listens to a gateway: never more than fits, however much a gateway sends."""

import json

from openclaw import MISSED, Event, frames
from openclaw.subscriptions import MOST_WAITING, Hub


def an_event(number: int, size: int) -> Event:
    payload = {"number": number, "text": "x" * size}
    event = frames.read(json.dumps({"type": "event", "event": "chat", "payload": payload}))
    assert isinstance(event, Event)
    return event


async def test_large_events_make_room_for_those_that_come_after_them() -> None:
    hub = Hub()
    heard = hub.subscribe("chat")
    for number in range(5):
        hub.tell(an_event(number, MOST_WAITING // 2 - 1_000))
    assert await heard.next() is MISSED
    assert [(await heard.next()).payload["number"] for _ in range(2)] == [3, 4]

    hub.tell(an_event(5, 10))
    assert (await heard.next()).payload["number"] == 5


async def test_an_event_that_is_larger_than_all_that_may_wait_is_missed() -> None:
    hub = Hub()
    heard = hub.subscribe("chat")
    hub.tell(an_event(0, MOST_WAITING + 1))
    assert await heard.next() is MISSED
    hub.tell(an_event(1, 10))
    assert (await heard.next()).payload["number"] == 1
