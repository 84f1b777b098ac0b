"""Who is told of boards that change (people-and-boards 3.6; point 35)."""

from kit.clock import now
from models import Board, BoardGroup, EventType, Organization, new_id
from tests.api.conftest import Caller, Client
from tests.conftest import Transaction
from tests.contract.test_messages import kinds, mail
from tests.contract.told import recorded, take_all
from tests.world import World, a_board, an_agent, an_agent_token


def a_group(name: str, organization: Organization) -> BoardGroup:
    return BoardGroup(
        id=new_id(),
        organization_id=organization.id,
        name=name,
        slug=name.lower(),
        created_at=now(),
        updated_at=now(),
    )


async def test_the_lead_is_told_which_fields_of_its_board_a_person_has_changed(
    alice: Client, lead: Client, worker: Client, world: World, transaction: Transaction
) -> None:
    """Point 35. Any real change, and no other."""
    board = f"/boards/{world.board.id}"
    changes = {"objective": "Ship it", "success_metrics": {"b": 1, "a": True}}
    for _ in range(2):
        assert (await alice.patch(board, json=changes)).status_code == 200
    [message] = await mail(lead)
    assert message["content"].startswith(
        f"BOARD UPDATED\nBoard: Launch\nBoard ID: {world.board.id}\n\nChanged:\n"
        '- objective: null -> Ship it\n- success_metrics: null -> {"a": true, "b": 1}\n'
    )
    assert await kinds(worker) == []
    await take_all(lead)
    told = [(EventType.BOARD_LEAD_NOTIFIED, world.lead.id)]
    assert await recorded(transaction, EventType.BOARD_LEAD_NOTIFIED) == told


async def test_every_agent_of_the_old_and_the_new_group_is_told_of_a_board_that_moves(
    alice: Client,
    lead: Client,
    worker: Client,
    calling: Caller,
    world: World,
    transaction: Transaction,
) -> None:
    """Point 35."""
    old, new = a_group("Old", world.tern), a_group("New", world.tern)
    third = a_board("Third", world.tern)
    helper = an_agent("Helper", third)
    async with transaction() as session:
        session.add_all([old, new, third, helper, an_agent_token(helper)])
        await session.flush()
        (await session.get_one(Board, world.garden.id)).board_group_id = old.id
        (await session.get_one(Board, third.id)).board_group_id = new.id
    gardener, helper_client = calling(world.gardener), calling(helper)
    everybody = (lead, worker, gardener, helper_client)
    board = f"/boards/{world.board.id}"
    await alice.patch(board, json={"board_group_id": str(old.id)})
    assert [await kinds(agent) for agent in everybody] == [
        ["BOARD GROUP UPDATED", "BOARD UPDATED"],
        ["BOARD GROUP UPDATED"],
        ["BOARD GROUP UPDATED"],
        [],
    ]
    await take_all(*everybody)
    await alice.patch(board, json={"board_group_id": str(new.id)})
    assert [await kinds(agent) for agent in everybody] == [
        ["BOARD GROUP UPDATED", "BOARD GROUP UPDATED", "BOARD UPDATED"],
        ["BOARD GROUP UPDATED", "BOARD GROUP UPDATED"],
        ["BOARD GROUP UPDATED"],
        ["BOARD GROUP UPDATED"],
    ]
    [left] = await mail(gardener)
    assert left["content"].startswith(
        f"BOARD GROUP UPDATED\nLeft Board: Launch\nLeft Board ID: {world.board.id}\n"
        "Recipient Board: Garden\n"
    )
    assert left["board_id"] == str(world.garden.id)
    [joined] = await mail(helper_client)
    assert joined["content"].startswith("BOARD GROUP UPDATED\nJoined Board: Launch\n")
    assert "\nBoard Group: New\n" in joined["content"]
    await take_all(gardener, helper_client)
    for type, agent in (
        (EventType.GROUP_LEAVE_NOTIFIED, world.gardener),
        (EventType.GROUP_JOIN_NOTIFIED, helper),
    ):
        assert (type, agent.id) in await recorded(transaction, type)
