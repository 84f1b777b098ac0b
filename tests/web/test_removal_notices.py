"""Every form that removes something leads to a page that says what was removed."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from core.security.secrets import hash_token
from models import ApiToken, SavedView, new_id
from tests.support.api_objects import make_channel
from tests.support.board_rows import make_agent, make_custom_field, make_tag, make_webhook
from tests.support.gateway_rows import make_gateway
from tests.support.memory_rows import make_board_group, make_group_note, make_note
from tests.support.page_routes import build_address, list_routes
from tests.support.people_rows import make_invite, make_sign_in
from tests.support.skill_rows import make_pack, make_skill
from tests.support.tool_calls import make_coding_session, make_tool_grant
from tests.support.webhook_rows import make_endpoint
from tests.support.world import World
from tests.web.test_notices import find_toasts

REMOVAL_PREFIXES = ("delete_", "remove_", "revoke_", "unlink_", "end_", "leave_")

NOTICES = {
    "/agents/{agent_id:uuid}/deletions": "Deleted “Worker”",
    "/agents/{agent_id:uuid}/permissions/{grant_id:uuid}/endings": "Permission revoked",
    "/boards/{board_id:uuid}/deletions": "Deleted “Launch”",
    "/boards/{board_id:uuid}/notes/{note_id:uuid}/deletions": "Note deleted",
    "/boards/{board_id:uuid}/views/{view_id:uuid}/deletions": "Deleted “Late”",
    "/boards/{board_id:uuid}/webhooks/{webhook_id:uuid}/deletions": "Webhook deleted",
    "/fields/{field_id:uuid}/deletions": "Deleted “Size”",
    "/gateways/{gateway_id:uuid}/agents/{linked_id:uuid}/endings": "Unlinked “Linked”",
    "/gateways/{unused_gateway_id:uuid}/deletions": "Deleted “Quay”",
    "/groups/{group_id:uuid}/deletions": "Deleted “Birds”",
    "/groups/{group_id:uuid}/notes/{group_note_id:uuid}/deletions": "Note deleted",
    "/people/departures": "You have left Tern",
    "/people/deletions": "Deleted “Tern”",
    "/people/invites/{invite_id:uuid}/endings": "Revoked the invitation of new@example.com",
    "/people/{member_id:uuid}/sessions/endings": "Bob is signed out in all browsers",
    "/people/{member_id:uuid}/endings": "Removed Bob from the organization",
    "/settings/channels/{channel_id:uuid}/deletions": "Deleted “Phone”",
    "/settings/sessions/endings": "All other sessions ended",
    "/settings/sessions/{sign_in_id:uuid}/endings": "Session ended",
    "/settings/tokens/endings": "Revoked 1 token",
    "/settings/tokens/{token_id:uuid}/endings": "Revoked “script”",
    "/skills/packs/{pack_id:uuid}/deletions": "Deleted “Skills”",
    "/skills/{skill_id:uuid}/deletions": "Deleted “Report writer”",
    "/tags/{tag_id:uuid}/deletions": "Deleted “Words”",
    "/webhooks/{endpoint_id:uuid}/deletions": "Deleted “Statistics”",
}
"""The text that is shown after each form, by the route of the form."""

NAMES_OF_OTHER_OBJECTS = {"linked_id": "agent_id", "unused_gateway_id": "gateway_id"}
"""Parameters in NOTICES that have another name in the route."""

WITHOUT_NOTICE = {
    "delete_account",  # nobody is signed in afterwards; a page of its own says it
    "delete_packs",  # the list says how many were deleted
    "delete_rule",  # the page of the policy says that it was saved
    "delete_skills",
    "delete_task",  # its own response says it, with a link to the trash
    "end_onboarding",  # the board shows that nothing was changed
    "end_previous_secret",  # the page of the webhook shows the secrets that are accepted
    "end_unsigned_payloads",  # the page of the webhook shows what is accepted
    "revoke_command_grant",  # the list shows the state of the grant
    "remove_skill",  # the page of the skill shows that its removal was requested
}
"""Views whose result is shown in another way."""


@pytest.fixture
async def ids(world: World, transaction: TransactionFactory) -> Mapping[str, Any]:
    """Store one object of each kind that can be removed, and return the ids for addresses."""
    gateway, unused_gateway = (make_gateway(world.tern, name) for name in ("Harbour", "Quay"))
    group, pack, sign_in = (
        make_board_group(world.tern),
        make_pack(world.tern),
        make_sign_in(world.alice),
    )
    sign_in.secret_hash = hash_token("of another session")
    field, *bindings = make_custom_field(world.board)
    times = {"created_at": now(), "updated_at": now()}
    rows: dict[str, Any] = {
        "note_id": make_note(world.board),
        "view_id": SavedView(id=new_id(), board_id=world.board.id, name="Late", query="", **times),
        "webhook_id": make_webhook(world.board),
        "field_id": field,
        "invite_id": make_invite(world.tern, "new@example.com"),
        "channel_id": make_channel(world),
        "sign_in_id": sign_in,
        "skill_id": make_skill(world.tern),
        "tag_id": make_tag(world.tern),
        "endpoint_id": make_endpoint(world.tern),
        "group_id": group,
        "pack_id": pack,
        "gateway_id": gateway,
        "unused_gateway_id": unused_gateway,
    }
    async with transaction() as session:
        session.add_all([*rows.values(), *bindings])
        await session.flush()
        fields = {"gateway_id": gateway.id, "openclaw_session_id": "agent:main:main"}
        rows["linked_id"] = make_agent("Linked", world.garden, is_linked=True, **fields)
        rows["group_note_id"] = make_group_note(group)
        [approval] = world.make_approval(agent_id=world.worker.id, is_tool_call=True)
        coding_session = make_coding_session(world.worker)
        session.add_all([rows["linked_id"], rows["group_note_id"], approval, coding_session])
        rows["grant_id"] = make_tool_grant(coding_session, approval)
        session.add(rows["grant_id"])
        tokens = select(ApiToken).where(ApiToken.user_id == world.alice.id)
        rows["token_id"] = (await session.scalars(tokens)).one()
    stored = {name: row.id for name, row in rows.items()}
    world_rows = {"agent_id": world.worker, "board_id": world.board, "member_id": world.bob_member}
    return stored | {name: row.id for name, row in world_rows.items()}


@pytest.mark.parametrize("path", NOTICES)
async def test_the_next_page_says_what_was_removed(alice, bob, world, ids, path) -> None:
    browser = bob if path == "/people/departures" else alice  # the only owner cannot leave
    form = {"confirmed_name": "Launch", "organization_name": "Tern", "ids": str(ids["token_id"])}
    page = await browser.post(build_address(path, ids), data=form, follow_redirects=True)
    assert (page.status_code, find_toasts(page.text)) == (200, [NOTICES[path]])


def test_the_notice_of_every_removal_is_known() -> None:
    known = set(NOTICES)
    for other, name in NAMES_OF_OTHER_OBJECTS.items():
        known = {path.replace(f"{{{other}:", f"{{{name}:") for path in known}
    forms = [route for route in list_routes() if "POST" in (route.methods or ())]
    removals = {route.path: getattr(route.endpoint, "__name__", "") for route in forms}
    removals = {path: name for path, name in removals.items() if name.startswith(REMOVAL_PREFIXES)}
    assert {path for path, name in removals.items() if name not in WITHOUT_NOTICE} == known
    assert set(removals.values()) >= WITHOUT_NOTICE
