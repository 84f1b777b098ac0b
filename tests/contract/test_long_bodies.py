"""The longest permitted bodies, with as many values as possible, do not hold the event loop."""

from collections.abc import Sequence

import pytest

from api.framework.request_parser import MAX_JSON_VALUES
from core.db.engine import TransactionFactory
from core.http.request import MAX_BODY_SIZE
from tests.support.api_fixtures import Client
from tests.support.loop_holds import calibrate, measure_holds
from tests.support.world import World

JSON = {"Content-Type": "application/json"}
TOO_MANY = "0," * (MAX_BODY_SIZE // 2 - 100)
NUMBERS = "0,    " * (MAX_JSON_VALUES - 100)
ID = "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"


def number_keys(values: Sequence[str]) -> str:
    return ",".join(f'"{number}":"{value}"' for number, value in enumerate(values))


@pytest.mark.parametrize(
    ("path", "body", "problem"),
    [
        (
            "tasks",
            f'{{"title": "Ship", "custom_field_values": {{"a": [{NUMBERS}0]}}}}',
            "unknown_custom_fields",
        ),
        ("tasks", f'{{"title": [{NUMBERS}0]}}', "Input should be a valid string"),
        ("tasks", f'{{"title": [{TOO_MANY}0]}}', "There are too many values"),
        (
            "decisions",
            f'{{"ids": ["{ID}"], "status": "approved",'
            f' "action_hashes": {{{number_keys(["x"] * 120_000)}}}}}',
            "Object should have at most 1000 keys, not 120000",
        ),
        (
            "approvals",
            f'{{"action_type": "deploy", "confidence": 90,'
            f' "rubric_scores": {{{number_keys(["x"] * 40_000)}}}}}',
            "40,000 values in the body are not valid.",
        ),
        (
            "onboarding/confirm",
            '{"board_type": "goal", "lead_agent": {"identity_profile": {'
            + ",".join(f'"{number}":{number}' for number in range(140_000))
            + "}}}",
            "140,000 values in the body are not valid.",
        ),
    ],
    ids=["fields", "title", "too many", "hashes", "scores", "profile"],
)
async def test_a_body_with_many_values_does_not_hold_the_event_loop(
    alice: Client, world: World, path: str, body: str, problem: str
) -> None:
    prefix = "/approvals" if path == "decisions" else f"/boards/{world.board.id}"
    await alice.post(f"{prefix}/{path}", content=b"{}", headers=JSON)
    with measure_holds() as holds:
        answer = await alice.post(f"{prefix}/{path}", content=body, headers=JSON)
    assert answer.status_code == 422
    assert problem in answer.text
    assert holds.longest < calibrate()


async def test_a_request_about_long_tasks_does_not_hold_the_event_loop(
    worker: Client, transaction: TransactionFactory, world: World
) -> None:
    tasks = [world.make_task("Ship", description="😀" * 99_000) for _ in range(100)]
    async with transaction() as session:
        session.add_all(tasks)
    path = f"/boards/{world.board.id}/approvals"
    body = {"action_type": "deploy", "confidence": 90, "lead_reasoning": "It is ready."}
    await worker.post(path, json=body)
    longest = []
    for _ in range(2):  # other processes can slow one of them down
        with measure_holds() as holds:
            answer = await worker.post(
                path, json=body | {"task_ids": [str(one.id) for one in tasks]}
            )
        assert len(answer.json()["task_ids"]) == 100
        longest.append(holds.longest)
        if holds.longest < calibrate():
            break
    assert min(longest) < calibrate()
