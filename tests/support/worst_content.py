"""The largest and worst permitted content of every kind, for tests of what it costs."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import insert
from sqlalchemy import text as sql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import (
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
    new_id,
)
from tests.support import text_columns
from tests.support.api_objects import ApiObjects
from tests.support.large_dataset import create_many_of_everything
from tests.support.marked_texts import MARK
from tests.support.world import World

ROWS = 200  # of every kind
FILLED = """where id in (
    (select id from {0} order by id limit 4) union all
    (select id from {0} order by id desc limit 12)
)"""
"""The rows with long texts: the objects of the API are the first ones, those of pages the last."""
NAME, TEXT = 200, 20_000  # characters, unless LENGTHS has another limit
LENGTHS = {
    "agents.identity_template": 100_000,
    "agents.soul_template": 100_000,
    "agents.name": 100,
    "agent_file_versions.content": 100_000,
    "agent_messages.content": 100_000,
    "agent_questions.answer": 10_000,
    "agent_questions.content": 10_000,
    "approvals.decision_note": 10_000,
    "approvals.first_approval_note": 10_000,
    "approvals.undone_note": 10_000,
    "board_group_memory.content": 100_000,
    "board_memory.content": 100_000,
    "board_onboarding_messages.content": 20_000,
    "board_webhooks.description": 5_000,
    "saved_views.query": 4_000,
    "souls.content": 200_000,
    "task_comments.message": 100_000,
    "task_descriptions.text": 100_000,
    "tasks.description": 100_000,
    "tasks.title": 500,
}
LONG_NAMES = ("description", "objective", "notes", "context", "text", "message", "content")
"""Last words of columns with a text of several lines."""

FIELD_VALUES = """insert into task_custom_field_values
    (id, task_id, task_custom_field_definition_id, value, created_at, updated_at)
    select gen_random_uuid(), :task, id, cast(:value as jsonb), now(), now()
    from task_custom_field_definitions where field_key like 'key-%'"""
"""A value of every field, for one task."""
MANY = 500  # tags and dependencies of one task
UNITS: Mapping[str, str] = {
    "nested Markdown": "> - **_[a](https://a.example) `b` ~~c~~_** | d |\n",
    "hidden characters": "\u202e\u200b\u2066a",
    "lines": "x\n",
    "one line": "<&😀",
}
"""Texts that are expensive when they are repeated, by their name."""


async def store_worst_objects(session: AsyncSession, world: World) -> tuple[ApiObjects, list[Any]]:
    """Store many rows of every kind; return the objects for the API, and the rows for pages."""
    prefixes = (await session.execute(sql("select id, prefix from api_tokens"))).mappings().all()
    await text_columns.mark_world(session, world)
    restored = sql("update api_tokens set prefix = :prefix where id = :id")  # finds the token
    await session.execute(restored, [dict(row) for row in prefixes])
    objects, rows = await create_many_of_everything(session, world, ROWS)
    task = {"task": objects.task.id, "value": json.dumps(build_text("<&😀", 1_990))}
    await session.execute(sql(FIELD_VALUES), task)
    await fill_texts(session, await text_columns.list_marked_columns(session))
    shown = next(row for row in rows if isinstance(row, Task))
    await _add_many(session, world, [objects.task, shown])
    return objects, rows


async def _add_many(session: AsyncSession, world: World, tasks: Sequence[Task]) -> None:
    """Give each of these tasks many tags, and many tasks on which it depends."""
    at = {"created_at": now(), "updated_at": now()}
    text = build_text("<&😀", 190)
    tags = [
        {"id": new_id(), "organization_id": world.tern.id, "name": text, "slug": f"many-{n}", **at}
        for n in range(MANY)
    ]
    others = [
        {"id": new_id(), "board_id": world.board.id, "title": text, "status": Status.INBOX, **at}
        for n in range(MANY)
    ]
    await session.execute(insert(Tag), tags)
    await session.execute(insert(Task), others)
    at.pop("updated_at")
    for task in tasks:
        tagged = [{"task_id": task.id, "tag_id": tag["id"], **at} for tag in tags]
        dependencies = [
            {"board_id": task.board_id, "task_id": task.id, "depends_on_task_id": one["id"], **at}
            for one in others
        ]
        await session.execute(insert(TagAssignment), tagged)
        await session.execute(insert(TaskDependency), dependencies)


async def fill_texts(session: AsyncSession, columns: Sequence[text_columns.TextColumn]) -> None:
    """Fill these columns with a repeated text, as long as it is permitted.

    Constraints and triggers that check who writes are ignored.
    """
    await session.execute(sql("set local session_replication_role = 'replica'"))
    for table, of_table in groupby(columns, lambda column: column.table):
        await _fill_table(session, table, list(of_table))
    changes = f"set payload = {choose_by_row('payload')}::jsonb {FILLED.format('approvals')}"
    payloads = {f"payload_{n}": build_payload(unit) for n, unit in enumerate(UNITS.values())}
    await session.execute(sql(f"update approvals {changes}"), payloads)


async def _fill_table(
    session: AsyncSession, table: str, columns: Sequence[text_columns.TextColumn]
) -> None:
    """Fill columns in one statement, unless a constraint wants some of them to be empty."""
    values, changes = {"mark": MARK}, {}
    for column in columns:
        is_long = column.name.endswith(LONG_NAMES)
        length = LENGTHS.get(f"{table}.{column.name}", TEXT if is_long else NAME)
        for number, unit in enumerate(UNITS.values()):
            text = build_text(unit if length > NAME else unit.strip("\n"), length)
            values[f"{column.name}_{number}"] = text[:-12]
            values[f"quoted_{column.name}_{number}"] = json.dumps(text[:NAME])[1:-1]
        old, new = column.text, choose_by_row(column.name) + " || right(id::text, 12)"
        marked = f"replace({old}, :mark, {choose_by_row(f'quoted_{column.name}')})"
        changed = f"case when {old} ~ '^[[{{]' then {marked} else {new} end"
        changed = f"{marked}::jsonb" if column.kind == "jsonb" else changed
        changes[column.name] = f'"{column.name}" = {changed}'
    try:
        async with session.begin_nested():
            statement = f"update {table} set {', '.join(changes.values())} {FILLED.format(table)}"
            await session.execute(sql(statement), values)
    except IntegrityError:
        for name, change in changes.items():
            statement = (
                f'update {table} set {change} {FILLED.format(table)} and "{name}" is not null'
            )
            await session.execute(sql(statement), values)


def choose_by_row(name: str) -> str:
    """Return the SQL that chooses one of the parameters `name_0`, `name_1` … by the id of a row."""
    choices = ", ".join(f":{name}_{number}" for number in range(len(UNITS)))
    return f"(array[{choices}]::text[])[1 + get_byte(uuid_send(id), 15) % {len(UNITS)}]"


def build_text(unit: str, length: int) -> str:
    """Repeat a text up to a number of characters."""
    return (unit * (length // len(unit) + 1))[:length]


def build_payload(unit: str) -> str:
    """Return a payload of an approval of the maximum length, with a nested list."""
    nested: Any = [0] * 20_000
    for _ in range(50):
        nested = [nested]
    content: dict[str, Any] = {"title": build_text(unit, 1_000), "values": nested}
    content |= {f"key {number}": number for number in range(2_000)}
    rest = 250_000 - len(json.dumps(content))
    escaped = len(json.dumps(unit)) - 2
    return json.dumps(content | {"diff": unit * (rest // escaped)})
