"""Responses that are serialized without validation are those of their models."""

import json

import pytest

from api.app import OPERATIONS
from tests.support.encoded_responses import check_response

LIST_TASKS = next(
    one for one in OPERATIONS if (one.method, one.path) == ("GET", "/boards/{board_id}/tasks")
)


def encode(response) -> bytes:
    return json.dumps(response, separators=(",", ":"), ensure_ascii=False).encode()


async def test_a_response_must_have_the_fields_and_formats_of_its_model(alice, world) -> None:
    path = f"/boards/{world.board.id}/tasks"
    await alice.post(path, json={"title": "A"})
    page = (await alice.get(path)).json()
    check_response(LIST_TASKS, encode(page))
    [item] = page["items"]
    wrong_items = [
        {name: item[name] for name in reversed(item)},
        item | {"created_at": item["created_at"] + "Z"},
        item | {"id": item["id"].upper()},
        item | {"shoe_size": 43},
    ]
    for wrong in wrong_items:
        with pytest.raises(AssertionError):
            check_response(LIST_TASKS, encode(page | {"items": [wrong]}))
