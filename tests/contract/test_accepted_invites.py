"""The contract's checklist (people-and-boards 7), 29 and 32: accepted invitations."""

from datetime import timedelta

from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Event, Invite, Member, Role
from tests.contract.test_invites import ACCEPT, INVITES, NORAS, create_user, nora
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.people_rows import make_member
from tests.support.world import World

__all__ = ["nora"]


async def test_accepting_gives_the_role_and_rights_of_the_invitation(
    alice: Client, nora: Client, transaction: TransactionFactory, world: World
) -> None:
    """Point 32."""
    rows = [{"board_id": str(world.board.id), "can_write": True}]
    created = (
        await alice.post(INVITES, json={**NORAS, "role": "admin", "board_access": rows})
    ).json()
    member = (await nora.post(ACCEPT, json={"token": created["token"]})).json()
    assert (member["role"], member["user"]["name"]) == ("admin", "Nora")
    [row] = member["board_access"]
    assert (row["board_id"], row["can_read"], row["can_write"]) == (
        str(world.board.id),
        True,
        True,
    )
    assert (await nora.get("/organizations/me")).json()["name"] == "Tern"
    assert [one["name"] for one in (await nora.get("/boards")).json()["items"]] == ["Launch"]
    assert (await nora.get("/organizations/me/member")).json() == member
    assert (await alice.get(INVITES)).json()["total"] == 0
    async with transaction() as session:
        [stored] = (await session.scalars(select(Invite))).all()
        joined = (await session.scalars(select(Event).where(Event.type == "member.joined"))).one()
    assert (str(stored.accepted_by_user_id), stored.accepted_at is not None) == (
        member["user_id"],
        True,
    )
    assert (joined.data["name"], joined.data["role"]) == ("Nora", "admin")
    assert (await alice.delete(f"{INVITES}/{created['id']}")).json()["accepted_at"] is not None


async def test_accepting_does_not_switch_the_active_organization(
    alice: Client, charlie: Client, world: World
) -> None:
    """3.3."""
    created = (await alice.post(INVITES, json={"invited_email": "charlie@example.com"})).json()
    assert (await charlie.post(ACCEPT, json={"token": created["token"]})).status_code == 200
    assert (await charlie.get("/organizations/me")).json()["name"] == "Plover"
    names = [one["name"] for one in (await charlie.get("/organizations/me/list")).json()]
    assert names == ["Plover", "Tern"]


async def test_accepting_adds_rights_to_a_member_and_removes_none(
    alice: Client, transaction: TransactionFactory, client_for: ClientFactory, world: World
) -> None:
    """Point 32. The invited user becomes a member in another way before accepting."""
    created = {}
    for name, body in {
        "Nora": {"role": "admin", "all_boards_write": True},
        "Olga": {"board_access": [{"board_id": str(world.garden.id), "can_read": True}]},
    }.items():
        user = await create_user(transaction, name)
        invite = {**body, "invited_email": user.email}
        created[name] = user, (await alice.post(INVITES, json=invite)).json()["token"]
    async with transaction() as session:
        tern = await session.merge(world.tern)
        noras = make_member(tern, await session.merge(created["Nora"][0]))
        olgas = make_member(
            tern, await session.merge(created["Olga"][0]), role=Role.OWNER, all_boards_read=True
        )
        session.add_all([noras, olgas])

    user, token = created["Nora"]
    raised = (await client_for(user).post(ACCEPT, json={"token": token})).json()
    assert (raised["id"], raised["role"]) == (str(noras.id), "admin")
    assert raised["all_boards_read"] is raised["all_boards_write"] is True
    user, token = created["Olga"]
    stored = (await client_for(user).post(ACCEPT, json={"token": token})).json()
    assert (stored["id"], stored["role"]) == (str(olgas.id), "owner")
    assert (stored["all_boards_read"], stored["all_boards_write"]) == (True, False)
    assert [row["board_id"] for row in stored["board_access"]] == [str(world.garden.id)]


async def test_rights_on_the_same_board_are_merged(
    alice: Client, transaction: TransactionFactory, client_for: ClientFactory, world: World
) -> None:
    """Point 32."""
    rows = [
        {"board_id": str(world.board.id), "can_read": False, "can_write": False},
        {"board_id": str(world.garden.id), "can_read": False, "can_write": True},
    ]
    created = (await alice.post(INVITES, json={**NORAS, "board_access": rows})).json()
    user = await create_user(transaction, "Nora")
    async with transaction() as session:
        noras = make_member(await session.merge(world.tern), await session.merge(user))
        session.add(noras)
    path = f"/organizations/me/members/{noras.id}/access"
    own = {"board_access": [{"board_id": str(world.board.id), "can_read": True}]}
    await alice.put(path, json=own)
    accepted = (await client_for(user).post(ACCEPT, json={"token": created["token"]})).json()
    rights = {
        row["board_id"]: (row["can_read"], row["can_write"]) for row in accepted["board_access"]
    }
    assert rights == {
        str(world.board.id): (True, False),
        str(world.garden.id): (True, True),
    }


async def test_a_token_is_valid_once_and_expires(
    alice: Client, nora: Client, transaction: TransactionFactory, world: World
) -> None:
    """3.3; S9, fixed."""
    created = (await alice.post(INVITES, json=NORAS)).json()
    async with transaction() as session:
        await session.execute(update(Invite).values(expires_at=now()))
    body = {"token": created["token"]}
    assert (await nora.post(ACCEPT, json=body)).status_code == 404
    assert (await alice.get(INVITES)).json()["total"] == 1
    async with transaction() as session:
        await session.execute(update(Invite).values(expires_at=now() + timedelta(hours=1)))
    assert (await nora.post(ACCEPT, json=body)).status_code == 200
    assert (await nora.post(ACCEPT, json=body)).status_code == 404
    for token in ("nonsense", "", "ü", created["token"] + "x"):
        assert (await nora.post(ACCEPT, json={"token": token})).status_code == 404
    assert (await nora.post(ACCEPT, json={})).status_code == 422


async def test_only_the_invited_address_accepts_an_invitation(
    alice: Client,
    bob: Client,
    transaction: TransactionFactory,
    client_for: ClientFactory,
    world: World,
) -> None:
    """3.3; S9, fixed: a user without an address accepts nothing."""
    created = (await alice.post(INVITES, json=NORAS)).json()
    nameless = await create_user(transaction, "Nobody", email=None)
    for client in (bob, client_for(nameless)):
        rejected = await client.post(ACCEPT, json={"token": created["token"]})
        assert (rejected.status_code, rejected.json()["code"]) == (403, "invite_for_another_user")
    assert (await alice.get(INVITES)).json()["total"] == 1
    async with transaction() as session:
        assert not (
            await session.scalars(select(Member).where(Member.user_id == nameless.id))
        ).all()


async def test_a_verified_address_joins_where_it_was_invited_first(
    alice: Client,
    charlie: Client,
    transaction: TransactionFactory,
    client_for: ClientFactory,
    world: World,
) -> None:
    """Point 29."""
    await charlie.post(INVITES, json={**NORAS, "role": "admin"})
    await alice.post(INVITES, json=NORAS)
    user = await create_user(transaction, "Nora", email_verified_at=now(), email="NORA@example.com")
    nora = client_for(user)
    assert (await nora.post("/auth/bootstrap")).status_code == 200
    [own] = (await nora.get("/organizations/me/list")).json()
    assert (own["name"], own["role"], own["is_active"]) == ("Plover", "admin", True)
    assert (await alice.get(INVITES)).json()["total"] == 1
    assert (await charlie.get(INVITES)).json()["total"] == 0


async def test_an_unverified_address_accepts_no_invitation(
    alice: Client, nora: Client, world: World
) -> None:
    """Point 29. S10, fixed."""
    await alice.post(INVITES, json=NORAS)
    await nora.post("/auth/bootstrap")
    [own] = (await nora.get("/organizations/me/list")).json()
    assert (own["name"], own["role"]) == ("Personal", "owner")
    member = (await nora.get("/organizations/me/member")).json()
    assert member["all_boards_read"] is member["all_boards_write"] is True


async def test_an_expired_invitation_cannot_be_accepted(
    alice: Client, transaction: TransactionFactory, client_for: ClientFactory, world: World
) -> None:
    """Point 29. S9, fixed."""
    await alice.post(INVITES, json=NORAS)
    async with transaction() as session:
        await session.execute(update(Invite).values(expires_at=now()))
    nora = client_for(await create_user(transaction, "Nora", email_verified_at=now()))
    assert (await nora.get("/organizations/me")).json()["name"] == "Personal"
