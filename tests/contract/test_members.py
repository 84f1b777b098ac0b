"""The contract's checklist (people-and-boards 7), 30 and 31: members, their roles and rights."""

import asyncio

import pytest
from sqlalchemy import select
from starlette.types import ASGIApp

from core.clock import now
from core.db.engine import TransactionFactory
from models import (
    AuditRecord,
    BoardAccess,
    Event,
    EventType,
    Member,
    Role,
    SignIn,
    User,
    new_id,
)
from services import organizations
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.people_rows import make_api_token, make_member, make_user
from tests.support.stream_client import open_stream
from tests.support.world import World

MEMBERS = "/organizations/me/members"


def at(member: Member) -> str:
    return f"{MEMBERS}/{member.id}"


async def second_owner(transaction: TransactionFactory, world: World) -> Member:
    """Make Olga an owner of Tern as well."""
    olga = make_user("Olga", world.tern)
    member = make_member(world.tern, olga, role=Role.OWNER)
    async with transaction() as session:
        session.add_all([olga, make_api_token(olga)])
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


async def test_a_page_of_members_counts_members_and_not_their_grants(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    """1.7."""
    rows = [{"board_id": str(board.id)} for board in (world.board, world.garden)]
    await alice.put(f"{at(world.bob_member)}/access", json={"board_access": rows})
    page = (await alice.get(MEMBERS, params={"limit": 2, "offset": 1})).json()
    assert [one["user"]["name"] for one in page["items"]] == ["Bob", "Dana"]
    assert (page["total"], len(page["items"][0]["board_access"])) == (4, 2)
    past = (await alice.get(MEMBERS, params={"offset": 50})).json()
    assert (past["items"], past["total"]) == ([], 4)
    assert (await alice.get(MEMBERS, params={"limit": 201})).status_code == 422


async def test_admins_see_every_member_and_members_themselves(
    bob: Client, dana: Client, charlie: Client, world: World
) -> None:
    """3.3."""
    own = (await bob.get(at(world.bob_member))).json()
    assert own == (await bob.get("/organizations/me/member")).json()
    assert own == (await dana.get(at(world.bob_member))).json()
    assert (await bob.get(at(world.rita_member))).status_code == 403
    assert (await charlie.get(at(world.bob_member))).status_code == 404
    assert (await dana.get(f"{MEMBERS}/{new_id()}")).status_code == 404


async def test_an_admin_grants_the_role_admin_but_not_owner(
    dana: Client, bob: Client, world: World
) -> None:
    """S6, fixed."""
    created = await dana.patch(at(world.bob_member), json={"role": " Admin "})
    assert created.status_code == 200
    assert (created.json()["role"], len(created.json()["board_access"])) == ("admin", 1)
    assert (await dana.patch(at(world.bob_member), json={"role": "owner"})).status_code == 403
    assert (await dana.patch(at(world.dana_member), json={"role": "owner"})).status_code == 403
    assert (await dana.patch(at(world.alice_member), json={"role": "member"})).status_code == 403
    assert (await bob.patch(at(world.dana_member), json={"role": "member"})).json()[
        "role"
    ] == "member"
    assert (await dana.patch(at(world.bob_member), json={"role": "member"})).status_code == 403


async def test_an_admin_ends_the_sessions_of_a_member_but_not_of_an_owner(
    dana: Client, bob: Client, charlie: Client, transaction: TransactionFactory, world: World
) -> None:
    """Only the organization of the admin learns about it."""

    async def list_signed_in() -> set[str]:
        async with transaction() as session:
            names = select(User.name).where(User.id.in_(select(SignIn.user_id)))
            return {name or "" for name in await session.scalars(names)}

    before = await list_signed_in()
    assert {"Alice", "Bob", "Rita"} <= before
    for client, member, status in (
        (bob, world.rita_member, 403),
        (dana, world.alice_member, 403),
        (charlie, world.rita_member, 404),
    ):
        assert (await client.delete(f"{at(member)}/sessions")).status_code == status
    assert await list_signed_in() == before
    async with transaction() as session:
        elsewhere = make_member(world.plover, world.rita_member.user)
        await session.merge(elsewhere)
    ended = await dana.delete(f"{at(world.rita_member)}/sessions")
    assert (ended.status_code, ended.json()) == (200, {"ok": True})
    assert await list_signed_in() == before - {"Rita"}
    async with transaction() as session:
        query = select(AuditRecord).where(AuditRecord.action == "session.ended")
        [record] = await session.scalars(query)
    assert (record.organization_id, record.actor_name) == (world.tern.id, "Dana")
    assert (record.object_id, record.object_name) == (str(world.rita.id), "Rita")


@pytest.mark.parametrize("role", [None, "", "  ", "king", 5, ["owner"], "own"])
async def test_there_are_three_roles(alice: Client, world: World, role: object) -> None:
    """S6 and C8, fixed."""
    rejected = await alice.patch(at(world.bob_member), json={"role": role})
    assert rejected.status_code == 422
    assert rejected.json()["detail"][0]["loc"] == ["body", "role"]
    assert (await alice.get(at(world.bob_member))).json()["role"] == "member"


async def test_fields_that_are_not_sent_stay_unchanged(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    """1.12."""
    before = (await alice.get(at(world.dana_member))).json()
    assert (await alice.patch(at(world.dana_member), json={"nonsense": 1})).json() == before
    assert (await alice.patch(at(world.dana_member), json={"role": "MEMBER"})).json()[
        "role"
    ] == "member"
    async with transaction() as session:
        reported = (
            await session.scalars(select(Event).where(Event.type == "member.updated"))
        ).all()
    assert [one.data["changes"] for one in reported] == [{"role": ["admin", "member"]}]


async def test_the_last_owner_cannot_be_demoted(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    """Point 31. S6, fixed."""
    last = await alice.patch(at(world.alice_member), json={"role": "admin"})
    assert (last.status_code, last.json()["code"]) == (422, "last_owner")
    await second_owner(transaction, world)
    by_token = await alice.patch(at(world.alice_member), json={"role": "admin"})
    assert (by_token.status_code, by_token.json()["code"]) == (403, "recent_sign_in_required")
    async with transaction() as session:
        locked = await organizations.lock_member(session, world.alice_member, world.alice_member.id)
        await organizations.change_member_role(session, locked, Role.ADMIN, signed_in_at=now())
    assert (await alice.patch(at(world.alice_member), json={"role": "owner"})).status_code == 403


async def test_which_members_may_be_removed_by_whom(
    alice: Client, dana: Client, bob: Client, transaction: TransactionFactory, world: World
) -> None:
    """Point 31."""
    olgas = await second_owner(transaction, world)
    for client, own in ((alice, world.alice_member), (dana, world.dana_member)):
        rejected = await client.delete(at(own))
        assert (rejected.status_code, rejected.json()["code"]) == (403, "self_removal")
    rejected = await dana.delete(at(olgas))
    assert (rejected.status_code, rejected.json()["code"]) == (403, "owner_required")
    assert (await bob.delete(at(world.rita_member))).status_code == 403
    assert (await dana.delete(at(world.rita_member))).json() == {"ok": True}
    assert (await dana.delete(at(world.rita_member))).status_code == 404
    rejected = await alice.delete(at(olgas))
    assert (rejected.status_code, rejected.json()["code"]) == (403, "recent_sign_in_required")


async def test_a_removed_member_works_in_their_oldest_organization(
    alice: Client, rita: Client, transaction: TransactionFactory, world: World
) -> None:
    """3.3."""
    async with transaction() as session:
        session.add(make_member(await session.merge(world.plover), await session.merge(world.rita)))
    for path in ("/boards", f"/boards/{world.board.id}"):
        assert (await rita.get(path)).status_code == 200
    await alice.delete(at(world.rita_member))
    async with transaction() as session:
        chosen = select(User.active_organization_id).where(User.id == world.rita.id)
        assert await session.scalar(chosen) == world.plover.id
        assert not (
            await session.scalars(select(BoardAccess).filter_by(id=world.rita_access.id))
        ).all()
        [deleted] = (
            await session.scalars(select(Event).where(Event.type == "member.removed"))
        ).all()
    assert (deleted.data["name"], deleted.user_id) == ("Rita", world.alice.id)
    assert (await rita.get(f"/boards/{world.board.id}")).status_code == 404
    assert (await rita.get("/organizations/me")).json()["name"] == "Plover"


async def test_a_member_removed_from_their_only_one_gets_an_own_one(
    alice: Client, rita: Client, world: World
) -> None:
    """1.11."""
    await alice.delete(at(world.rita_member))
    assert (await rita.get("/organizations/me")).json()["name"] == "Personal"


async def test_rights_on_single_boards_cover_only_these(
    dana: Client, rita: Client, world: World
) -> None:
    """Point 30. An admin may manage rights that they do not have."""
    launch, garden = f"/boards/{world.board.id}", f"/boards/{world.garden.id}"
    rows = [{"board_id": str(world.garden.id), "can_write": True}]
    changed = await dana.put(f"{at(world.rita_member)}/access", json={"board_access": rows})
    assert changed.status_code == 200
    [row] = changed.json()["board_access"]
    assert (row["board_id"], row["can_read"], row["can_write"]) == (
        str(world.garden.id),
        True,
        True,
    )
    assert changed.json() == (await dana.get(at(world.rita_member))).json()
    assert (await rita.get(launch)).status_code == 403
    assert (await rita.patch(garden, json={"description": "Mine"})).status_code == 200


async def test_rights_on_all_boards_replace_those_on_single_ones(
    alice: Client, rita: Client, world: World
) -> None:
    """3.3: the sent rights replace all existing ones."""
    rows = [{"board_id": str(world.garden.id)}]
    every = {"all_boards_read": True, "board_access": rows}
    changed = (await alice.put(f"{at(world.rita_member)}/access", json=every)).json()
    assert (changed["all_boards_read"], changed["all_boards_write"]) == (True, False)
    assert changed["board_access"] == []
    assert (await rita.get(f"/boards/{world.garden.id}")).status_code == 200
    nothing = (await alice.put(f"{at(world.rita_member)}/access", json={})).json()
    assert (nothing["all_boards_read"], nothing["board_access"]) == (False, [])
    assert (await rita.get("/boards")).json()["items"] == []


async def test_rights_name_each_board_of_the_organization_once(
    alice: Client, rita: Client, world: World
) -> None:
    """3.3; C15, fixed."""
    path = f"{at(world.rita_member)}/access"
    ours, foreign, nobodys = world.board.id, world.charlies_board.id, new_id()
    for every in (False, True):
        rows = [{"board_id": str(id)} for id in (ours, foreign, nobodys)]
        rejected = await alice.put(path, json={"all_boards_read": every, "board_access": rows})
        assert rejected.status_code == 422
        assert rejected.json()["code"] == "invalid_board_ids"
        missing = rejected.json()["detail"]["invalid_board_ids"]
        assert missing == sorted([str(foreign), str(nobodys)])
    twice = {"board_access": [{"board_id": str(ours)}, {"board_id": str(ours)}]}
    rejected = await alice.put(path, json=twice)
    assert (rejected.status_code, rejected.json()["code"]) == (422, "board_repeated")
    assert (await alice.put(path, json={"board_access": [{}]})).status_code == 422
    assert (await alice.put(path, json={"all_boards_read": None})).status_code == 422
    assert (await rita.get(f"/boards/{world.board.id}")).status_code == 200


async def test_only_owners_change_the_rights_of_owners(
    dana: Client, alice: Client, world: World
) -> None:
    """S6, fixed."""
    path = f"{at(world.alice_member)}/access"
    assert (await dana.put(path, json={})).status_code == 403
    assert (await alice.put(path, json={"all_boards_write": True})).status_code == 200


async def test_other_organizations_change_no_member(
    charlie: Client, bob: Client, alice: Client, world: World
) -> None:
    """S24, fixed."""
    before = (await alice.get(MEMBERS)).json()
    for client, status in ((charlie, 404), (bob, 403)):
        for method, path, body in [
            ("PATCH", at(world.rita_member), {"role": "owner"}),
            ("PATCH", at(world.rita_member), {"role": None}),
            ("PUT", f"{at(world.rita_member)}/access", {"all_boards_write": True}),
            ("DELETE", at(world.rita_member), None),
        ]:
            assert (await client.request(method, path, json=body)).status_code == status
    assert (await alice.get(MEMBERS)).json() == before


async def test_a_stream_ends_when_its_member_is_removed(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    """S25, fixed."""
    alice, launch = (
        committing_client_for(isolated_world.alice),
        f"/boards/{isolated_world.board.id}",
    )
    async with (
        open_stream(committing_api_app, isolated_world.bob, f"{launch}/tasks/stream") as bobs,
        open_stream(
            committing_api_app, isolated_world.rita, "/activity/task-comments/stream"
        ) as ritas,
    ):
        await alice.delete(at(isolated_world.bob_member))
        await alice.delete(at(isolated_world.rita_member))
        await asyncio.gather(bobs.wait_for_end(4.5), ritas.wait_for_end(4.5))


async def test_every_change_of_a_member_is_recorded(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    """1.18."""
    await alice.patch(at(world.bob_member), json={"role": "admin"})
    await alice.put(f"{at(world.bob_member)}/access", json={"all_boards_read": True})
    await alice.delete(at(world.bob_member))
    async with transaction() as session:
        query = select(Event).where(Event.organization_id == world.tern.id).order_by(Event.seq)
        reported = (await session.scalars(query)).all()
    assert [one.type for one in reported] == [
        EventType.MEMBER_UPDATED,
        EventType.MEMBER_UPDATED,
        EventType.MEMBER_REMOVED,
    ]
    assert {(one.data["name"], one.data["user_id"], one.user_id) for one in reported} == {
        ("Bob", str(world.bob.id), world.alice.id)
    }
