"""Programs that read an object, change one field and send the whole object back.

Nothing else changes: no other field, no secret, and no row of another object.
"""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from api.app import OPERATIONS
from core.db.engine import TransactionFactory
from models import Gateway
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.api_objects import ApiObjects, create_api_objects, read_all_rows
from tests.support.secret_key import CIPHER
from tests.support.world import World

RECORDS = {
    *("activity_events", "agent_messages", "event_origins", "notifications"),  # rows are only added
    *("agent_event_counts", "board_counts", "board_group_counts", "event_counts"),
    *("notification_counts", "organization_counts", "tag_counts"),
}
DERIVED = {"updated_at", "words"}  # columns
DEPENDENT = {
    "boards": "agents",  # are provisioned again
    "gateways": "agents",
    "organization_members": "organization_board_access",  # is part of the member
}
"""The other table that a change of an object may change."""
AGENT, BOARD, GROUP = "/agents/{agent_id}", "/boards/{board_id}", "/board-groups/{group_id}"
TASK, NOTE = f"{BOARD}/tasks/{{task_id}}", f"{BOARD}/memory/{{memory_id}}"
GROUP_NOTE = "/memory/{memory_id}"
MEMBER = "/organizations/me/members/{member_id}"
FIELDS = "/organizations/me/custom-fields"
FIELD = f"{FIELDS}/{{task_custom_field_definition_id}}"
APPROVALS = f"{BOARD}/approvals"


@dataclass(frozen=True)
class Program:
    """What a program changes, and the table and columns that may change with it."""

    path: str
    field: str
    value: Any
    table: str
    columns: tuple[str, ...] = ()  # beside that of the field
    method: str = "PATCH"
    read_path: str = ""  # if it differs
    caller: str = "alice"

    def __str__(self) -> str:
        """Return the name of the test."""
        return f"{self.method} {self.path} {self.field}"


NOTES = ("board_memory", ("version",))
GATEWAYS = ("gateways", ("version", "checks", "checked_at"))  # which were never checked
DECISION = (
    *("action", "decided_at", "decided_by", "decided_by_name", "decided_by_user_id"),
    *("action_hash", "completes_tasks", "decided_status", "decisions", "resolved_at", "version"),
)
PROGRAMS = [
    Program("/users/me", "preferred_name", "Al", "users"),
    Program(MEMBER, "role", "admin", "organization_members"),
    Program(
        f"{MEMBER}/access",
        "all_boards_read",
        True,
        "organization_members",
        ("board_access",),  # rights on single boards are part of it
        "PUT",
        MEMBER,
    ),
    Program("/tags/{tag_id}", "color", "3b82f6", "tags"),
    Program(FIELD, "label", "Another", "task_custom_field_definitions", (), "PATCH", FIELDS),
    Program(BOARD, "objective", "Launch", "boards", ("version",)),
    Program(BOARD, "comment_required_for_review", True, "boards", ("version",)),
    Program(TASK, "title", "Another", "tasks", ("version",)),
    Program(TASK, "priority", "high", "tasks", ("version",)),
    Program(
        f"{APPROVALS}/{{approval_id}}",
        "status",
        "approved",
        "approvals",
        DECISION,
        "PATCH",
        APPROVALS,
    ),
    Program(f"{BOARD}/webhooks/{{webhook_id}}", "enabled", False, "board_webhooks"),
    Program("/webhooks/{webhook_id}", "description", "Another", "webhook_endpoints"),
    Program("/channels/{channel_id}", "name", "Another", "notification_channels", ("version",)),
    Program("/skills/packs/{pack_id}", "description", "Another", "skill_packs"),
    Program(AGENT, "name", "Another", "agents"),
    Program("/gateways/{gateway_id}", "workspace_root", "/another", *GATEWAYS),
    Program("/gateways/{gateway_id}", "name", "Another", *GATEWAYS),
    Program(GROUP, "description", "Another", "board_groups"),
    Program(NOTE, "content", "Another", *NOTES),
    Program(f"/agent{NOTE}", "content", "Another", *NOTES, caller="lead"),
    Program(f"{GROUP}{GROUP_NOTE}", "content", "Another", "board_group_memory", ("version",)),
    Program(
        f"{BOARD}/group-memory/{{memory_id}}",
        "content",
        "Another",
        "board_group_memory",
        ("version",),
        caller="lead",
    ),
]

OTHER_OPERATIONS = {
    ("PATCH", "/agent/boards/{board_id}/tasks/{task_id}"),  # tested below
    ("PATCH", "/organizations/me/active"),  # a choice of an organization, not an object
    ("PUT", "/boards/{board_id}/read-markers/{kind}"),  # a time, which only moves forward
    ("PUT", "/boards/{board_id}/tasks/{task_id}/read-marker"),
    ("PUT", "/boards/{board_id}/tasks/{task_id}/watchers/me"),  # has no body
    ("PUT", "/agents/{agent_id}/hold"),
    ("PUT", "/agent/boards/{board_id}/agents/{agent_id}/soul"),  # its GET returns a text
    ("PUT", "/organizations/me/approval-policy"),  # tested below
    ("PUT", "/boards/{board_id}/approval-policy"),
    ("PATCH", "/notifications/preferences"),  # see test_notification_preferences.py
}


def test_every_update_has_a_program() -> None:
    updates = {(one.method, one.path) for one in OPERATIONS if one.method in ("PATCH", "PUT")}
    assert updates - OTHER_OPERATIONS == {(one.method, one.path) for one in PROGRAMS}


async def read_object(client: Client, objects: ApiObjects, program: Program) -> dict[str, Any]:
    """Return the object of a program: from its own path, or from a list."""
    response = await client.get(objects.fill_path(program.read_path or program.path))
    assert response.status_code == 200, response.text
    found = response.json()
    rows = found.get("items", [found]) if isinstance(found, dict) else found
    id = objects.fill_path(program.path).rpartition("/")[2]
    [one] = [row for row in rows if len(rows) == 1 or row["id"] == id]
    return one


def find_changes(before: str, after: str) -> set[str]:
    """Return the columns that differ in the rows of a table; the rows are the same."""
    old, new = ({row["id"]: row for row in json.loads(rows)} for rows in (before, after))
    assert old.keys() == new.keys()
    return {name for id in old for name in old[id] if old[id][name] != new[id][name]}


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
async def test_sending_an_object_back_changes_only_the_changed_field(
    program: Program, client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        objects = await create_api_objects(session, world)
        token = CIPHER.encrypt("a token", f"gateways.token:{objects.gateway.id}")
        await session.execute(update(Gateway).values(encrypted_token=token))
    client = client_for(getattr(world, program.caller))
    found = await read_object(client, objects, program)
    async with transaction() as session:
        before = await read_all_rows(session)
    changed = {**found, program.field: program.value}
    assert changed != found
    response = await client.request(program.method, objects.fill_path(program.path), json=changed)
    assert response.status_code == 200, response.text
    read = await read_object(client, objects, program)
    allowed = {program.field, *DERIVED, *program.columns}
    assert {name for name in found if found[name] != read[name]} <= allowed
    assert read[program.field] == program.value
    async with transaction() as session:
        after = await read_all_rows(session)
    for table in before.keys() - RECORDS - {program.table, DEPENDENT.get(program.table)}:
        assert after[table] == before[table], table
    if program.table in before:
        assert find_changes(before[program.table], after[program.table]) <= allowed


@pytest.mark.parametrize("path", ["/organizations/me/approval-policy", f"{BOARD}/approval-policy"])
async def test_sending_a_policy_back_changes_only_the_changed_rule(
    path: str, alice: Client, world: World
) -> None:
    path = path.format(board_id=world.board.id)
    rules = [
        {"name": name, "effect": effect, "kinds": ["deploy"], "expires_after": 3600}
        for name, effect in (("First", "deny"), ("Second", "ask_two"))
    ]
    made = (await alice.put(path, json={"rules": rules})).json()
    changed = {**made, "rules": [{**made["rules"][0], "name": "Renamed"}, made["rules"][1]]}
    assert (await alice.put(path, json=changed)).status_code == 200
    read = (await alice.get(path)).json()
    assert read["rules"] == changed["rules"]


async def test_a_main_agent_sent_back_changes_only_the_changed_field(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        objects = await create_api_objects(session, world)
    at = f"/agents/{objects.main_agent.id}"
    found = (await alice.get(at)).json()
    assert (found["is_gateway_main"], found["board_id"]) == (True, None)
    sent = await alice.patch(at, json={**found, "name": "Another"})
    assert sent.status_code == 200, sent.text
    changed = {name for name in found if found[name] != sent.json()[name]}
    assert "name" in changed
    assert changed <= {"name", "updated_at", "provisioning", "status"}
    refused = await alice.patch(at, json={**sent.json(), "status": "busy"})
    assert (refused.status_code, refused.json()["code"]) == (403, "agent_status_forbidden")


async def test_a_task_sent_back_keeps_its_people_tags_and_dependencies(
    alice: Client, world: World
) -> None:
    path = f"/boards/{world.board.id}/tasks"
    tag = (await alice.post("/tags", json={"name": "Docs"})).json()["id"]
    other = (await alice.post(path, json={"title": "First"})).json()["id"]
    body = {
        "title": "Write",
        "description": "All of it.",
        "due_at": "2027-01-01T12:00:00Z",
        "depends_on_task_ids": [other],
        "tag_ids": [tag],
        "assigned_user_id": str(world.bob.id),
    }
    made = (await alice.post(path, json=body)).json()
    at = f"{path}/{made['id']}"
    sent = await alice.patch(at, json={**made, "title": "Rewrite"})
    assert sent.status_code == 200, sent.text
    kept = {name for name in made if made[name] == sent.json()[name]}
    assert made.keys() - kept == {"title", "updated_at", "version"}
    again = (await alice.patch(at, json=sent.json())).json()
    assert {name for name in again if again[name] != sent.json()[name]} <= {"updated_at", "version"}
    assert UUID(again["assigned_user_id"]) == world.bob.id


async def test_agents_may_not_send_back_fields_that_people_decide(
    alice: Client, lead: Client, worker: Client, world: World
) -> None:
    """They get 403 even for an unchanged title, as in the original, and nothing changes."""
    path = f"/boards/{world.board.id}/tasks"
    made = (await alice.post(path, json={"title": "Write"})).json()
    for client in (lead, worker):
        sent = await client.patch(f"/agent{path}/{made['id']}", json={**made, "priority": "high"})
        assert sent.status_code == 403
        assert sent.json()["detail"]["code"] == "task_update_field_forbidden"
    assert (await alice.get(f"{path}/{made['id']}")).json() == made
