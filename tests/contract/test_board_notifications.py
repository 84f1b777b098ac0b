"""Notifications about changed boards (people-and-boards 3.6; point 35)."""

from core.clock import now
from core.db.engine import TransactionFactory
from models import Board, BoardGroup, EventType, Organization, new_id
from tests.contract.test_messages import list_kinds, list_messages
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.board_rows import make_agent, make_board
from tests.support.notification_helpers import acknowledge_all, list_recorded
from tests.support.people_rows import make_agent_token
from tests.support.world import World


def a_group(name: str, organization: Organization) -> BoardGroup:
    return BoardGroup(
        id=new_id(),
        organization_id=organization.id,
        name=name,
        slug=name.lower(),
        created_at=now(),
        updated_at=now(),
    )


async def test_the_lead_is_notified_of_board_fields_changed_by_a_user(
    alice: Client, lead: Client, worker: Client, world: World, transaction: TransactionFactory
) -> None:
    """Point 35. Only real changes are sent."""
    board = f"/boards/{world.board.id}"
    changes = {"objective": "Ship it", "success_metrics": {"b": 1, "a": True}}
    for _ in range(2):
        assert (await alice.patch(board, json=changes)).status_code == 200
    [message] = await list_messages(lead)
    assert message["content"].startswith(
        f"BOARD UPDATED\nBoard: Launch\nBoard ID: {world.board.id}\n\nChanged:\n--- BEGIN"
    )
    changed = (
        '\n- objective: null -> Ship it\n- success_metrics: null -> {"a": true, "b": 1}\n--- END'
    )
    assert changed in message["content"]
    assert await list_kinds(worker) == []
    await acknowledge_all(lead)
    recorded = [(EventType.BOARD_LEAD_NOTIFIED, world.lead.id)]
    assert await list_recorded(transaction, EventType.BOARD_LEAD_NOTIFIED) == recorded


async def test_a_board_that_changes_its_group_notifies_all_their_agents(
    alice: Client,
    lead: Client,
    worker: Client,
    client_for: ClientFactory,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """Point 35."""
    old, new = a_group("Old", world.tern), a_group("New", world.tern)
    third = make_board("Third", world.tern)
    helper = make_agent("Helper", third)
    async with transaction() as session:
        session.add_all([old, new, third, helper, make_agent_token(helper)])
        await session.flush()
        (await session.get_one(Board, world.garden.id)).board_group_id = old.id
        (await session.get_one(Board, third.id)).board_group_id = new.id
    gardener, helper_client = client_for(world.gardener), client_for(helper)
    agents = (lead, worker, gardener, helper_client)
    board = f"/boards/{world.board.id}"
    await alice.patch(board, json={"board_group_id": str(old.id)})
    assert [await list_kinds(agent) for agent in agents] == [
        ["BOARD GROUP UPDATED", "BOARD UPDATED"],
        ["BOARD GROUP UPDATED"],
        ["BOARD GROUP UPDATED"],
        [],
    ]
    await acknowledge_all(*agents)
    await alice.patch(board, json={"board_group_id": str(new.id)})
    assert [await list_kinds(agent) for agent in agents] == [
        ["BOARD GROUP UPDATED", "BOARD GROUP UPDATED", "BOARD UPDATED"],
        ["BOARD GROUP UPDATED", "BOARD GROUP UPDATED"],
        ["BOARD GROUP UPDATED"],
        ["BOARD GROUP UPDATED"],
    ]
    [left] = await list_messages(gardener)
    assert left["content"].startswith(
        f"BOARD GROUP UPDATED\nLeft Board: Launch\nLeft Board ID: {world.board.id}\n"
        "Recipient Board: Garden\n"
    )
    assert left["board_id"] == str(world.garden.id)
    [joined] = await list_messages(helper_client)
    assert joined["content"].startswith("BOARD GROUP UPDATED\nJoined Board: Launch\n")
    assert "\nBoard Group: New\n" in joined["content"]
    await acknowledge_all(gardener, helper_client)
    for type, agent in (
        (EventType.GROUP_LEAVE_NOTIFIED, world.gardener),
        (EventType.GROUP_JOIN_NOTIFIED, helper),
    ):
        assert (type, agent.id) in await list_recorded(transaction, type)
