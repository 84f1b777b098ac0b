"""Custom fields of tasks that webhooks create by a template."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from core.errors import Invalid
from models import CustomField, CustomFieldValue, Task, WebhookAction
from services import board_webhooks, boards
from services.board_webhooks import BoardWebhookCreate
from services.payload_templates import (
    MAX_TEMPLATE_LENGTH,
    PayloadTemplate,
    parse_field_lines,
    render_task,
)
from tests.services.test_webhook_actions import add_webhook, receive
from tests.support.board_rows import make_custom_field
from tests.support.cpu_time import limit_cpu
from tests.support.secret_key import CIPHER

FIELDS = {
    "size": "text",
    "points": "integer",
    "ratio": "decimal",
    "urgent": "boolean",
    "day": "date",
    "link": "url",
    "more": "json",
}
LINES = "\n".join(f"{key}: {{{{ alert.{key} }}}}" for key in FIELDS)
NOW = datetime(2026, 11, 28, tzinfo=UTC)
TEMPLATE = {"title": "Alert", "custom_fields": LINES}


async def add_fields(session: Any, world: Any, **of_all: Any) -> None:
    for key, type in FIELDS.items():
        fields = {"field_key": key, "label": key.title(), "field_type": type} | of_all
        session.add_all(make_custom_field(world.board, **fields))
    await session.flush()


async def read_values(session: Any) -> dict[str, Any]:
    is_of_field = CustomField.id == CustomFieldValue.task_custom_field_definition_id
    query = select(CustomField.field_key, CustomFieldValue.value).join(CustomField, is_of_field)
    return {key: value for key, value in await session.execute(query)}


async def test_values_of_a_payload_become_those_of_fields(session, world) -> None:
    await add_fields(session, world)
    webhook = await add_webhook(session, world, WebhookAction.TASK, TEMPLATE)
    alert: dict[str, Any] = {
        "size": "L: *large*\nnext",
        "points": 3,
        "ratio": "2.50",
        "urgent": True,
    }
    alert |= {"day": "2026-11-24", "link": "https://x.example/?a=b:c", "more": {"a": [1]}}
    payload = await receive(session, webhook, {"alert": alert})
    assert (payload.state, payload.error) == ("processed", None)
    assert await read_values(session) == alert | {"ratio": 2.5}


async def test_what_a_field_does_not_accept_gets_its_default(session, world) -> None:
    await add_fields(session, world)
    session.add_all(
        make_custom_field(world.board, field_key="team", label="Team", default_value="Ops")
    )
    lines = f"{LINES}\nteam: {{{{ alert.team }}}}\ngone: x"
    template = TEMPLATE | {"custom_fields": lines}
    webhook = await add_webhook(session, world, WebhookAction.TASK, template)
    alert = {
        "points": "9" * 30,
        "ratio": "٣",
        "urgent": "yes",
        "day": "today",
        "link": "javascript:",
    }
    payload = await receive(session, webhook, {"alert": alert | {"more": "[" * 5_000}})
    assert (payload.state, payload.error) == ("processed", None)
    assert await read_values(session) == {"team": "Ops"}
    data = board_webhooks.build_payload_data(webhook, payload)
    at, parsed = payload.received_at, board_webhooks.read_template(webhook)
    built = await board_webhooks.build_task(session, world.board, parsed, data, at)
    codes = sorted(problem.code for problem in built.task.problems)
    assert codes == [*["custom_field_invalid"] * 6, "custom_field_unknown"]
    assert built.values == {}


async def test_a_required_field_without_a_value_fails(session, world) -> None:
    session.add_all(make_custom_field(world.board, required=True))
    template = {"title": "Alert", "custom_fields": "size: {{ alert.size }}"}
    webhook = await add_webhook(session, world, WebhookAction.TASK, template)
    failed = await receive(session, webhook, {"alert": {}})
    assert (failed.state, failed.task_id) == ("failed", None)
    assert "size" in (failed.error or "")
    filled = await receive(session, webhook, {"alert": {"size": "L"}})
    assert filled.state == "processed"
    assert (await session.scalars(select(Task))).one().id == filled.task_id


async def test_a_field_that_the_board_does_not_have_is_rejected(session, world) -> None:
    session.add_all(make_custom_field(world.garden))
    await session.flush()
    board = await boards.lock_board(session, world.alice, world.board.id)
    template = {"title": "Alert", "custom_fields": "size: L"}
    fields = BoardWebhookCreate(description="Alerts", action=WebhookAction.TASK, template=template)
    with pytest.raises(Invalid) as caught:
        await board_webhooks.create_webhook(session, world.alice, board, fields, CIPHER)
    assert (caught.value.code, caught.value.field) == (
        *("template_custom_field_unknown", "custom_fields"),
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("size", "template_fields_invalid"),
        (": L", "template_fields_invalid"),
        ("a b: L", "template_fields_invalid"),
        ("size: L\n\nsize: M", "template_fields_invalid"),
        ("x" * 201 + ": L", "template_fields_invalid"),
        ("\n".join(f"f{number}: x" for number in range(51)), "too_many_template_fields"),
        ("size: {{ a\nother: }}", "template_not_closed"),
    ],
)
def test_lines_of_fields_are_checked(text: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        PayloadTemplate.parse({"title": "x", "custom_fields": text})
    assert (caught.value.code, caught.value.field) == (code, "custom_fields")


def test_a_line_has_a_key_and_any_text() -> None:
    assert parse_field_lines(" größe :  a: {{ b }} \n\n x:") == {"größe": "a: {{ b }}", "x": ""}


@pytest.mark.parametrize("part", [":", "a:", "\n", "{{", "{{ a }}", "a: {{ b }}\n", "é: ", " "])
def test_hostile_lines_take_linear_time(part: str) -> None:
    text = part * (MAX_TEMPLATE_LENGTH // len(part))
    with limit_cpu():
        try:
            template = PayloadTemplate.parse({"title": "x", "custom_fields": text})
        except Invalid:
            return
        render_task(template, {"a": "x" * 100_000}, NOW)
