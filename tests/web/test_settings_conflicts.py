"""Edits of boards, groups, agents, gateways and profiles: nothing of others is lost."""

import re
from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import Agent, Board, BoardGroup, Gateway, Organization, User, new_id
from services import agents, boards, identity, organizations
from tests.support.gateway_rows import make_gateway
from tests.support.shown_forms import form_of, shown
from tests.support.world import World


@pytest.fixture
def change_board(transaction: TransactionFactory, world: World):
    """Return a function that changes Launch as Alice, as a script does."""

    async def change(**changes: object) -> None:
        async with transaction() as session:
            board = await boards.lock_board(session, world.alice, world.board.id)
            fields = boards.BoardUpdate.of(**changes)
            await boards.update_board(session, world.alice, board, fields)

    return change


async def load(transaction: TransactionFactory, entity: type, id: object) -> Any:
    async with transaction() as session:
        return await session.get_one(entity, id, populate_existing=True)


async def test_a_description_of_a_board_conflicts_and_is_merged(
    alice, world, transaction, change_board
) -> None:
    path = f"/boards/{world.board.id}/settings"
    form = form_of((await alice.get(path)).text, "slug")
    await change_board(description="Theirs")

    sent = form | {"name": world.board.name, "slug": world.board.slug, "description": "Mine"}
    conflict = await alice.post(path, data=sent)

    assert conflict.status_code == 409
    assert "Changed by you" in conflict.text
    assert "<mark>Theirs</mark>" in conflict.text
    merged = form_of(conflict.text, "description") | {"description": "Both"}
    assert (await alice.post(path, data=merged)).status_code == 303
    assert (await load(transaction, Board, world.board.id)).description == "Both"


async def test_an_objective_does_not_overwrite_new_measures(
    alice, world, transaction, change_board
) -> None:
    path = f"/boards/{world.board.id}/settings"
    form = form_of((await alice.get(path)).text, "objective")
    await change_board(success_metrics={"visitors": "5"})

    sent = form | {"board_type": world.board.board_type, "objective": "Open the museum"}
    response = await alice.post(path, data=sent | {"measure": ["", ""], "target": ["", ""]})

    assert response.status_code == 303
    board = await load(transaction, Board, world.board.id)
    assert (board.objective, board.success_metrics) == ("Open the museum", {"visitors": "5"})


async def test_both_lists_of_measures_are_offered(alice, world, transaction, change_board) -> None:
    path = f"/boards/{world.board.id}/settings"
    form = form_of((await alice.get(path)).text, "objective")
    await change_board(success_metrics={"visitors": "5"})

    sent = form | {"board_type": world.board.board_type, "objective": world.board.objective or ""}
    sent |= {"measure": ["members", ""], "target": ["7", ""]}
    conflict = await alice.post(path, data=sent)

    assert conflict.status_code == 409
    assert "members: 7" in conflict.text
    assert "visitors: 5" in conflict.text
    choice = form_of(conflict.text, "success_metrics")
    kept = await alice.post(path, data=choice | {"keep.success_metrics": "mine"})
    assert kept.status_code == 303
    board = await load(transaction, Board, world.board.id)
    assert board.success_metrics == {"members": "7"}


async def test_a_rule_does_not_switch_back_another_one(
    alice, world, transaction, change_board
) -> None:
    path = f"/boards/{world.board.id}/settings"
    form = form_of((await alice.get(path)).text, "require_approval_for_done")
    was_on = world.board.require_approval_for_done
    await change_board(require_approval_for_done=not was_on)

    sent = form | {"only_lead_can_change_status": "true"}
    if was_on:
        sent["require_approval_for_done"] = "true"
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"}
    response = await alice.post(path, data=sent, headers=headers)

    assert response.status_code == 200
    board = await load(transaction, Board, world.board.id)
    assert board.only_lead_can_change_status
    assert board.require_approval_for_done is not was_on


async def test_a_group_conflicts_only_in_the_field_that_both_changed(
    alice, world, transaction
) -> None:
    group = BoardGroup(
        id=new_id(),
        organization_id=world.tern.id,
        name="Harbour",
        slug="harbour",
        description="Boats",
        created_at=world.tern.created_at,
        updated_at=world.tern.created_at,
    )
    async with transaction() as session:
        session.add(group)
    form = form_of((await alice.get(f"/groups/{group.id}/edit")).text, "name")
    async with transaction() as session:
        locked = await boards.lock_group_as_admin(session, world.alice, group.id)
        fields = boards.BoardGroupUpdate.of(description="Ships")
        await boards.update_group(session, world.alice, locked, fields)

    sent = form | {"name": "Port", "description": "Ferries"}
    conflict = await alice.post(f"/groups/{group.id}/edit", data=sent)
    other = await alice.post(f"/groups/{group.id}/edit", data=sent | {"description": "Boats"})

    assert conflict.status_code == 409
    assert "Ships" in conflict.text
    assert other.status_code == 303
    stored = await load(transaction, BoardGroup, group.id)
    assert (stored.name, stored.description) == ("Port", "Ships")


async def test_an_agent_keeps_the_new_role_when_its_name_is_changed(
    alice, world, transaction
) -> None:
    path = f"/agents/{world.worker.id}/settings"
    form = form_of((await alice.get(path)).text, "role")
    async with transaction() as session:
        profile = (world.worker.identity_profile or {}) | {"role": "Tester"}
        await agents.update_agent(
            session,
            world.alice_member,
            world.worker.id,
            agents.AgentUpdate.of(identity_profile=profile),
        )

    sent = form | {"role": "", "name": "Renamed", "board_id": str(world.board.id)}
    assert (await alice.post(path, data=sent)).status_code == 303
    assert (await load(transaction, Agent, world.worker.id)).identity_profile["role"] == "Tester"

    conflict = await alice.post(path, data=sent | {"role": "Writer"})
    assert conflict.status_code == 409
    assert "Tester" in conflict.text
    merged = form_of(conflict.text, "role") | {"role": "Writer"}
    assert (await alice.post(path, data=merged)).status_code == 303
    stored = await load(transaction, Agent, world.worker.id)
    assert (stored.name, stored.identity_profile["role"]) == ("Renamed", "Writer")


async def test_own_notes_conflict_with_those_from_another_window(alice, world, transaction) -> None:
    async with transaction() as session:
        await identity.update_profile(
            session, world.alice, identity.UserUpdate.of(notes="From a script")
        )

    sent = shown(notes=None, context=None) | {"section": "known", "notes": "Mine", "context": ""}
    conflict = await alice.post("/settings/profile", data=sent)

    assert conflict.status_code == 409
    assert "From a script" in conflict.text
    assert "Changed by you" in conflict.text
    assert (await load(transaction, User, world.alice.id)).notes == "From a script"


async def test_a_name_of_the_organization_conflicts(alice, world, transaction) -> None:
    form = form_of((await alice.get("/organization/about")).text, "name")
    async with transaction() as session:
        await organizations.rename_organization(
            session, world.dana_member, organizations.OrganizationCreate(name="Theirs")
        )

    conflict = await alice.post("/organization/about", data=form | {"name": "Mine"})

    assert conflict.status_code == 409
    assert "Changed by Dana" in conflict.text
    merged = form_of(conflict.text, "name") | {"name": "Both"}
    assert (await alice.post("/organization/about", data=merged)).status_code == 303
    assert (await load(transaction, Organization, world.tern.id)).name == "Both"


async def test_the_texts_of_a_board_offer_suggestions(alice, world) -> None:
    page = (await alice.get(f"/boards/{world.board.id}/settings")).text
    suggests = f'data-suggest="board={world.board.id}"'
    for name in ("description", "objective"):
        [area] = re.findall(rf'<textarea[^>]*name="{name}"[^>]*>', page)
        assert suggests in area


@pytest.fixture
async def harbour(transaction: TransactionFactory, world: World) -> Gateway:
    gateway = make_gateway(world.tern, checks=[])
    async with transaction() as session:
        session.add(gateway)
    return gateway


GATEWAY_FIELDS = {"name": "Harbour", "url": "ws://127.0.0.1:9", "workspace_root": "/agents"}


async def test_a_new_name_of_a_gateway_keeps_its_new_address(
    alice, dana, transaction, harbour
) -> None:
    path = f"/gateways/{harbour.id}/edit"
    form = form_of((await alice.get(path)).text, "url") | GATEWAY_FIELDS
    new = {"url": "wss://127.0.0.1:9", "allow_insecure_tls": "true"}
    assert (await dana.post(path, data=GATEWAY_FIELDS | new)).status_code == 303

    assert (await alice.post(path, data=form | {"name": "Port"})).status_code == 303

    stored = await load(transaction, Gateway, harbour.id)
    assert (stored.name, stored.url, stored.allow_insecure_tls) == ("Port", new["url"], True)


async def test_a_conflict_of_a_gateway_asks_for_the_token_again(
    alice, dana, transaction, harbour
) -> None:
    path = f"/gateways/{harbour.id}/edit"
    form = form_of((await alice.get(path)).text, "url") | GATEWAY_FIELDS
    assert (await dana.post(path, data=GATEWAY_FIELDS | {"name": "Theirs"})).status_code == 303

    sent = form | {"name": "Mine", "workspace_root": "/work", "token": "a token of Alice"}
    conflict = await alice.post(path, data=sent)

    assert conflict.status_code == 409
    assert "Changed by Dana" in conflict.text
    assert "a token of Alice" not in conflict.text
    assert re.search('<input[^>]* name="token" type="password"', conflict.text)
    merged = form_of(conflict.text, "name") | {"name": "Both", "token": "a token of Alice"}
    assert (await alice.post(path, data=merged)).status_code == 303
    stored = await load(transaction, Gateway, harbour.id)
    assert (stored.name, stored.workspace_root) == ("Both", "/work")
    assert stored.encrypted_token


async def test_a_token_is_not_sent_to_a_host_that_the_form_did_not_show(
    alice, dana, transaction, harbour
) -> None:
    path = f"/gateways/{harbour.id}/edit"
    form = form_of((await alice.get(path)).text, "url") | GATEWAY_FIELDS
    new = {"url": "wss://127.0.0.1:7", "allow_insecure_tls": "true"}
    assert (await dana.post(path, data=GATEWAY_FIELDS | new)).status_code == 303

    conflict = await alice.post(path, data=form | {"token": "a token of Alice"})

    assert conflict.status_code == 409
    assert "wss://127.0.0.1:7" in conflict.text
    assert "Accept any certificate" in conflict.text
    stored = await load(transaction, Gateway, harbour.id)
    assert (stored.url, stored.encrypted_token) == ("wss://127.0.0.1:7", None)
    choice = form_of(conflict.text, "url") | {"token": "a token of Alice"}
    choice |= {"url": new["url"], "keep.allow_insecure_tls": "current"}
    assert (await alice.post(path, data=choice)).status_code == 303
    stored = await load(transaction, Gateway, harbour.id)
    assert (stored.url, stored.allow_insecure_tls) == (new["url"], True)
    assert stored.encrypted_token
