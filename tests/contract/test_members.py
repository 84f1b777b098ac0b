"""The contract's checklist (people-and-boards 7), 30 and 31: members, their roles and rights."""

import asyncio

import pytest
from sqlalchemy import select
from starlette.types import ASGIApp

from models import BoardAccess, Event, EventType, Member, Role, User, new_id
from tests.api.conftest import Caller, Client
from tests.api.listening import listening
from tests.conftest import Transaction
from tests.world import World, a_member, a_user, an_api_token

MEMBERS = "/organizations/me/members"


def at(member: Member) -> str:
    return f"{MEMBERS}/{member.id}"


async def an_owner_too(transaction: Transaction, world: World) -> Member:
    """Let Olga own Tern as well."""
    olga = a_user("Olga", world.tern)
    member = a_member(world.tern, olga, role=Role.OWNER)
    async with transaction() as session:
        session.add_all([olga, an_api_token(olga)])
        return await session.merge(member)


async def test_members_are_listed_by_address_with_their_rights(bob: Client, world: World) -> None:
    """3.3; C15, fixed."""
    page = (await bob.get(MEMBERS)).json()
    assert (page["total"], page["limit"], page["offset"]) == (4, 200, 0)
    who = [one["user"]["email"].partition("@")[0] for one in page["items"]]
    assert who == ["alice", "bob", "dana", "rita"]
    boards = {one["user"]["name"]: one["board_access"] for one in page["items"]}
    assert boards["Alice"] == boards["Dana"] == []
    [access] = boards["Bob"]
    assert (access["board_id"], access["can_write"]) == (str(world.board.id), True)


async def test_a_page_of_members_counts_people_and_not_their_rights(
    alice: Client, transaction: Transaction, world: World
) -> None:
    """1.7."""
    rows = [{"board_id": str(board.id)} for board in (world.board, world.garden)]
    await alice.put(f"{at(world.bobs)}/access", json={"board_access": rows})
    page = (await alice.get(MEMBERS, params={"limit": 2, "offset": 1})).json()
    assert [one["user"]["name"] for one in page["items"]] == ["Bob", "Dana"]
    assert (page["total"], len(page["items"][0]["board_access"])) == (4, 2)
    past = (await alice.get(MEMBERS, params={"offset": 50})).json()
    assert (past["items"], past["total"]) == ([], 4)
    assert (await alice.get(MEMBERS, params={"limit": 201})).status_code == 422


async def test_admins_see_every_member_and_others_themselves(
    bob: Client, dana: Client, charlie: Client, world: World
) -> None:
    """3.3."""
    own = (await bob.get(at(world.bobs))).json()
    assert own == (await bob.get("/organizations/me/member")).json()
    assert own == (await dana.get(at(world.bobs))).json()
    assert (await bob.get(at(world.ritas))).status_code == 403
    assert (await charlie.get(at(world.bobs))).status_code == 404
    assert (await dana.get(f"{MEMBERS}/{new_id()}")).status_code == 404


async def test_an_admin_makes_members_admins_and_no_owners(
    dana: Client, bob: Client, world: World
) -> None:
    """S6, fixed."""
    made = await dana.patch(at(world.bobs), json={"role": " Admin "})
    assert made.status_code == 200
    assert (made.json()["role"], len(made.json()["board_access"])) == ("admin", 1)
    assert (await dana.patch(at(world.bobs), json={"role": "owner"})).status_code == 403
    assert (await dana.patch(at(world.danas), json={"role": "owner"})).status_code == 403
    assert (await dana.patch(at(world.alices), json={"role": "member"})).status_code == 403
    assert (await bob.patch(at(world.danas), json={"role": "member"})).json()["role"] == "member"
    assert (await dana.patch(at(world.bobs), json={"role": "member"})).status_code == 403


@pytest.mark.parametrize("role", [None, "", "  ", "king", 5, ["owner"], "own"])
async def test_there_are_three_roles(alice: Client, world: World, role: object) -> None:
    """S6 and C8, fixed."""
    refused = await alice.patch(at(world.bobs), json={"role": role})
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "role"]
    assert (await alice.get(at(world.bobs))).json()["role"] == "member"


async def test_what_is_not_sent_stays(
    alice: Client, transaction: Transaction, world: World
) -> None:
    """1.12."""
    before = (await alice.get(at(world.danas))).json()
    assert (await alice.patch(at(world.danas), json={"nonsense": 1})).json() == before
    assert (await alice.patch(at(world.danas), json={"role": "MEMBER"})).json()["role"] == "member"
    async with transaction() as session:
        told = (await session.scalars(select(Event).where(Event.type == "member.updated"))).all()
    assert [one.data["changes"] for one in told] == [{"role": ["admin", "member"]}]


async def test_one_owner_stays(alice: Client, transaction: Transaction, world: World) -> None:
    """Point 31. S6, fixed."""
    last = await alice.patch(at(world.alices), json={"role": "admin"})
    assert (last.status_code, last.json()["code"]) == (422, "last_owner")
    await an_owner_too(transaction, world)
    assert (await alice.patch(at(world.alices), json={"role": "admin"})).status_code == 200
    assert (await alice.patch(at(world.alices), json={"role": "owner"})).status_code == 403


async def test_who_may_be_removed_by_whom(
    alice: Client, dana: Client, bob: Client, transaction: Transaction, world: World
) -> None:
    """Point 31."""
    olgas = await an_owner_too(transaction, world)
    for client, own in ((alice, world.alices), (dana, world.danas)):
        refused = await client.delete(at(own))
        assert (refused.status_code, refused.json()["code"]) == (403, "self_removal")
    refused = await dana.delete(at(olgas))
    assert (refused.status_code, refused.json()["code"]) == (403, "owner_required")
    assert (await bob.delete(at(world.ritas))).status_code == 403
    assert (await dana.delete(at(world.ritas))).json() == {"ok": True}
    assert (await dana.delete(at(world.ritas))).status_code == 404
    assert (await alice.delete(at(olgas))).json() == {"ok": True}


async def test_who_is_removed_works_in_their_oldest_other_organization(
    alice: Client, rita: Client, transaction: Transaction, world: World
) -> None:
    """3.3."""
    async with transaction() as session:
        session.add(a_member(await session.merge(world.plover), await session.merge(world.rita)))
    for path in ("/boards", f"/boards/{world.board.id}"):
        assert (await rita.get(path)).status_code == 200
    await alice.delete(at(world.ritas))
    async with transaction() as session:
        chosen = select(User.active_organization_id).where(User.id == world.rita.id)
        assert await session.scalar(chosen) == world.plover.id
        assert not (
            await session.scalars(select(BoardAccess).filter_by(id=world.ritas_access.id))
        ).all()
        [gone] = (await session.scalars(select(Event).where(Event.type == "member.removed"))).all()
    assert (gone.data["name"], gone.user_id) == ("Rita", world.alice.id)
    assert (await rita.get(f"/boards/{world.board.id}")).status_code == 404
    assert (await rita.get("/organizations/me")).json()["name"] == "Plover"


async def test_who_is_removed_from_their_only_organization_gets_one_of_their_own(
    alice: Client, rita: Client, world: World
) -> None:
    """1.11."""
    await alice.delete(at(world.ritas))
    assert (await rita.get("/organizations/me")).json()["name"] == "Personal"


async def test_rights_on_single_boards_open_these_and_no_others(
    dana: Client, rita: Client, world: World
) -> None:
    """Point 30. An admin may look after rights that are not theirs."""
    launch, garden = f"/boards/{world.board.id}", f"/boards/{world.garden.id}"
    rows = [{"board_id": str(world.garden.id), "can_write": True}]
    changed = await dana.put(f"{at(world.ritas)}/access", json={"board_access": rows})
    assert changed.status_code == 200
    [row] = changed.json()["board_access"]
    assert (row["board_id"], row["can_read"], row["can_write"]) == (
        str(world.garden.id),
        True,
        True,
    )
    assert changed.json() == (await dana.get(at(world.ritas))).json()
    assert (await rita.get(launch)).status_code == 403
    assert (await rita.patch(garden, json={"description": "Mine"})).status_code == 200


async def test_rights_on_all_boards_leave_none_on_single_ones(
    alice: Client, rita: Client, world: World
) -> None:
    """3.3: what is sent replaces all that there was."""
    rows = [{"board_id": str(world.garden.id)}]
    every = {"all_boards_read": True, "board_access": rows}
    changed = (await alice.put(f"{at(world.ritas)}/access", json=every)).json()
    assert (changed["all_boards_read"], changed["all_boards_write"]) == (True, False)
    assert changed["board_access"] == []
    assert (await rita.get(f"/boards/{world.garden.id}")).status_code == 200
    nothing = (await alice.put(f"{at(world.ritas)}/access", json={})).json()
    assert (nothing["all_boards_read"], nothing["board_access"]) == (False, [])
    assert (await rita.get("/boards")).json()["items"] == []


async def test_rights_are_given_on_boards_of_the_organization_each_named_once(
    alice: Client, rita: Client, world: World
) -> None:
    """3.3; C15, fixed."""
    path = f"{at(world.ritas)}/access"
    ours, theirs, nobodys = world.board.id, world.charlies_board.id, new_id()
    for every in (False, True):
        rows = [{"board_id": str(id)} for id in (ours, theirs, nobodys)]
        refused = await alice.put(path, json={"all_boards_read": every, "board_access": rows})
        assert refused.status_code == 422
        assert refused.json()["code"] == "invalid_board_ids"
        missing = refused.json()["detail"]["invalid_board_ids"]
        assert missing == sorted([str(theirs), str(nobodys)])
    twice = {"board_access": [{"board_id": str(ours)}, {"board_id": str(ours)}]}
    refused = await alice.put(path, json=twice)
    assert (refused.status_code, refused.json()["code"]) == (422, "board_named_twice")
    assert (await alice.put(path, json={"board_access": [{}]})).status_code == 422
    assert (await alice.put(path, json={"all_boards_read": None})).status_code == 422
    assert (await rita.get(f"/boards/{world.board.id}")).status_code == 200


async def test_only_owners_say_what_owners_may(dana: Client, alice: Client, world: World) -> None:
    """S6, fixed."""
    path = f"{at(world.alices)}/access"
    assert (await dana.put(path, json={})).status_code == 403
    assert (await alice.put(path, json={"all_boards_write": True})).status_code == 200


async def test_strangers_change_no_member(
    charlie: Client, bob: Client, alice: Client, world: World
) -> None:
    """S24, fixed."""
    before = (await alice.get(MEMBERS)).json()
    for client, status in ((charlie, 404), (bob, 403)):
        for method, path, body in [
            ("PATCH", at(world.ritas), {"role": "owner"}),
            ("PATCH", at(world.ritas), {"role": None}),
            ("PUT", f"{at(world.ritas)}/access", {"all_boards_write": True}),
            ("DELETE", at(world.ritas), None),
        ]:
            assert (await client.request(method, path, json=body)).status_code == status
    assert (await alice.get(MEMBERS)).json() == before


async def test_whoever_is_removed_hears_no_more(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    """S25, fixed."""
    alice, launch = really_calling(real_world.alice), f"/boards/{real_world.board.id}"
    async with (
        listening(real_house, real_world.bob, f"{launch}/tasks/stream") as bobs,
        listening(real_house, real_world.rita, "/activity/task-comments/stream") as ritas,
    ):
        await alice.delete(at(real_world.bobs))
        await alice.delete(at(real_world.ritas))
        await asyncio.gather(bobs.ended(4.5), ritas.ended(4.5))


async def test_every_change_of_a_member_is_told(
    alice: Client, transaction: Transaction, world: World
) -> None:
    """1.18."""
    await alice.patch(at(world.bobs), json={"role": "admin"})
    await alice.put(f"{at(world.bobs)}/access", json={"all_boards_read": True})
    await alice.delete(at(world.bobs))
    async with transaction() as session:
        query = select(Event).where(Event.organization_id == world.tern.id).order_by(Event.seq)
        told = (await session.scalars(query)).all()
    assert [one.type for one in told] == [
        EventType.MEMBER_UPDATED,
        EventType.MEMBER_UPDATED,
        EventType.MEMBER_REMOVED,
    ]
    assert {(one.data["name"], one.data["user_id"], one.user_id) for one in told} == {
        ("Bob", str(world.bob.id), world.alice.id)
    }
