"""The contract's checklist (people-and-boards 7), 29 and 32: invitations."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from kit.clock import now
from kit.secrets import fingerprint
from models import Event, Invite, Member, Role, User, new_id
from tests.api.conftest import Caller, Client
from tests.conftest import Transaction
from tests.world import World, a_member, a_user, an_api_token

INVITES = "/organizations/me/invites"
ACCEPT = "/organizations/invites/accept"
NORAS = {"invited_email": " Nora@Example.com "}


async def a_person(transaction: Transaction, name: str, **fields: object) -> User:
    """Let somebody have an account, and belong nowhere."""
    person = a_user(name)
    for field, value in fields.items():
        setattr(person, field, value)
    async with transaction() as session:
        session.add_all([person, an_api_token(person)])
    return person


@pytest.fixture
async def nora(transaction: Transaction, world: World, calling: Caller) -> Client:
    """Somebody who was never here; whether the address is hers, nobody knows."""
    return calling(await a_person(transaction, "Nora"))


async def test_an_invitation_shows_its_token_once(
    dana: Client, transaction: Transaction, world: World
) -> None:
    """S9, fixed."""
    made = (await dana.post(INVITES, json=NORAS)).json()
    assert made["invited_email"] == "nora@example.com"
    assert (made["role"], made["all_boards_read"], made["all_boards_write"]) == (
        "member",
        False,
        False,
    )
    assert made["created_by_user_id"] == str(world.dana.id)
    assert made["accepted_at"] is made["accepted_by_user_id"] is None
    [listed] = (await dana.get(INVITES)).json()["items"]
    assert listed == made | {"token": None}
    async with transaction() as session:
        [row] = (await session.scalars(select(Invite))).all()
        [told] = (await session.scalars(select(Event))).all()
    assert row.token_hash == fingerprint(made["token"])
    assert timedelta(days=13, hours=23) < row.expires_at - now() < timedelta(days=14)
    assert (told.type, told.data["email"]) == ("invite.created", "nora@example.com")
    assert made["token"] not in str(told.data)


async def test_pending_invitations_come_newest_first(alice: Client, world: World) -> None:
    """3.3."""
    for name in ("one", "two", "three"):
        await alice.post(INVITES, json={"invited_email": f"{name}@example.com"})
    page = (await alice.get(INVITES, params={"limit": 2})).json()
    names = [one["invited_email"].partition("@")[0] for one in page["items"]]
    assert (names, page["total"]) == (["three", "two"], 3)


async def test_inviting_again_replaces_the_invitation(
    alice: Client, nora: Client, world: World
) -> None:
    """S9, fixed: there is one open invitation for an address."""
    first = (await alice.post(INVITES, json=NORAS)).json()
    again = (await alice.post(INVITES, json={**NORAS, "all_boards_read": True})).json()
    assert again["token"] != first["token"]
    page = (await alice.get(INVITES)).json()
    assert [one["id"] for one in page["items"]] == [again["id"]]
    assert (await nora.post(ACCEPT, json={"token": first["token"]})).status_code == 404
    member = (await nora.post(ACCEPT, json={"token": again["token"]})).json()
    assert member["all_boards_read"] is True


async def test_nobody_gives_by_invitation_what_is_above_them(
    dana: Client, alice: Client, bob: Client, charlie: Client, world: World
) -> None:
    """S6, fixed."""
    assert (await dana.post(INVITES, json={**NORAS, "role": "owner"})).status_code == 403
    assert (await bob.post(INVITES, json=NORAS)).status_code == 403
    assert (await bob.get(INVITES)).status_code == 403
    made = (await alice.post(INVITES, json={**NORAS, "role": "owner"})).json()
    assert made["role"] == "owner"
    assert (await dana.post(INVITES, json=NORAS)).status_code == 403
    for client, status in ((dana, 403), (bob, 403), (charlie, 404)):
        assert (await client.delete(f"{INVITES}/{made['id']}")).status_code == status
    assert (await charlie.get(INVITES)).json()["items"] == []
    assert (await alice.get(INVITES)).json()["total"] == 1


async def test_members_are_not_invited_again_nor_oneself(alice: Client, world: World) -> None:
    """3.3."""
    for email in ("BOB@example.com", "alice@example.com"):
        refused = await alice.post(INVITES, json={"invited_email": email})
        assert (refused.status_code, refused.json()["code"]) == (409, "already_member")
    stranger = await alice.post(INVITES, json={"invited_email": "charlie@example.com"})
    assert stranger.status_code == 200


@pytest.mark.parametrize("email", ["", "   ", "nobody", "a@b@c", "a b@c.d", None, 5, "x" * 300])
async def test_an_invitation_needs_an_address(alice: Client, world: World, email: object) -> None:
    """3.3."""
    refused = await alice.post(INVITES, json={"invited_email": email})
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "invited_email"]


async def test_an_invitation_names_boards_of_the_organization_each_once(
    alice: Client, world: World
) -> None:
    """3.3; C15, fixed."""
    foreign = [{"board_id": str(world.charlies_board.id)}]
    refused = await alice.post(INVITES, json={**NORAS, "board_access": foreign})
    assert refused.status_code == 422
    assert refused.json()["detail"]["invalid_board_ids"] == [str(world.charlies_board.id)]
    twice = [{"board_id": str(world.board.id)}] * 2
    refused = await alice.post(INVITES, json={**NORAS, "board_access": twice})
    assert refused.status_code == 422
    assert (await alice.post(INVITES, json={**NORAS, "role": "king"})).status_code == 422
    assert (await alice.get(INVITES)).json()["total"] == 0


async def test_an_invitation_that_is_withdrawn_opens_nothing(
    dana: Client, nora: Client, transaction: Transaction, world: World
) -> None:
    """3.3."""
    made = (await dana.post(INVITES, json=NORAS)).json()
    revoked = await dana.delete(f"{INVITES}/{made['id']}")
    assert revoked.json() == made | {"token": None}
    assert (await dana.delete(f"{INVITES}/{made['id']}")).status_code == 404
    assert (await dana.delete(f"{INVITES}/{new_id()}")).status_code == 404
    assert (await nora.post(ACCEPT, json={"token": made["token"]})).status_code == 404
    async with transaction() as session:
        told = (await session.scalars(select(Event.type).order_by(Event.seq))).all()
    assert told == ["invite.created", "invite.revoked"]


async def test_who_accepts_is_a_member_with_what_was_promised(
    alice: Client, nora: Client, transaction: Transaction, world: World
) -> None:
    """Point 32."""
    rows = [{"board_id": str(world.board.id), "can_write": True}]
    made = (await alice.post(INVITES, json={**NORAS, "role": "admin", "board_access": rows})).json()
    member = (await nora.post(ACCEPT, json={"token": made["token"]})).json()
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
        [kept] = (await session.scalars(select(Invite))).all()
        joined = (await session.scalars(select(Event).where(Event.type == "member.joined"))).one()
    assert (str(kept.accepted_by_user_id), kept.accepted_at is not None) == (
        member["user_id"],
        True,
    )
    assert (joined.data["name"], joined.data["role"]) == ("Nora", "admin")
    assert (await alice.delete(f"{INVITES}/{made['id']}")).json()["accepted_at"] is not None


async def test_who_is_elsewhere_stays_there_until_they_choose(
    alice: Client, charlie: Client, world: World
) -> None:
    """3.3."""
    made = (await alice.post(INVITES, json={"invited_email": "charlie@example.com"})).json()
    assert (await charlie.post(ACCEPT, json={"token": made["token"]})).status_code == 200
    assert (await charlie.get("/organizations/me")).json()["name"] == "Plover"
    names = [one["name"] for one in (await charlie.get("/organizations/me/list")).json()]
    assert names == ["Plover", "Tern"]


async def test_accepting_adds_to_what_a_member_has_and_takes_nothing(
    alice: Client, transaction: Transaction, calling: Caller, world: World
) -> None:
    """Point 32. Somebody is invited, and made a member otherwise before they accept."""
    made = {}
    for name, body in {
        "Nora": {"role": "admin", "all_boards_write": True},
        "Olga": {"board_access": [{"board_id": str(world.garden.id), "can_read": True}]},
    }.items():
        person = await a_person(transaction, name)
        invite = {**body, "invited_email": person.email}
        made[name] = person, (await alice.post(INVITES, json=invite)).json()["token"]
    async with transaction() as session:
        tern = await session.merge(world.tern)
        noras = a_member(tern, await session.merge(made["Nora"][0]))
        olgas = a_member(
            tern, await session.merge(made["Olga"][0]), role=Role.OWNER, all_boards_read=True
        )
        session.add_all([noras, olgas])

    person, token = made["Nora"]
    raised = (await calling(person).post(ACCEPT, json={"token": token})).json()
    assert (raised["id"], raised["role"]) == (str(noras.id), "admin")
    assert raised["all_boards_read"] is raised["all_boards_write"] is True
    person, token = made["Olga"]
    kept = (await calling(person).post(ACCEPT, json={"token": token})).json()
    assert (kept["id"], kept["role"]) == (str(olgas.id), "owner")
    assert (kept["all_boards_read"], kept["all_boards_write"]) == (True, False)
    assert [row["board_id"] for row in kept["board_access"]] == [str(world.garden.id)]


async def test_rights_on_one_board_are_added_up(
    alice: Client, transaction: Transaction, calling: Caller, world: World
) -> None:
    """Point 32."""
    rows = [
        {"board_id": str(world.board.id), "can_read": False, "can_write": False},
        {"board_id": str(world.garden.id), "can_read": False, "can_write": True},
    ]
    made = (await alice.post(INVITES, json={**NORAS, "board_access": rows})).json()
    person = await a_person(transaction, "Nora")
    async with transaction() as session:
        noras = a_member(await session.merge(world.tern), await session.merge(person))
        session.add(noras)
    path = f"/organizations/me/members/{noras.id}/access"
    own = {"board_access": [{"board_id": str(world.board.id), "can_read": True}]}
    await alice.put(path, json=own)
    accepted = (await calling(person).post(ACCEPT, json={"token": made["token"]})).json()
    rights = {
        row["board_id"]: (row["can_read"], row["can_write"]) for row in accepted["board_access"]
    }
    assert rights == {
        str(world.board.id): (True, False),
        str(world.garden.id): (True, True),
    }


async def test_a_token_is_good_once_and_for_a_while(
    alice: Client, nora: Client, transaction: Transaction, world: World
) -> None:
    """3.3; S9, fixed."""
    made = (await alice.post(INVITES, json=NORAS)).json()
    async with transaction() as session:
        await session.execute(update(Invite).values(expires_at=now()))
    body = {"token": made["token"]}
    assert (await nora.post(ACCEPT, json=body)).status_code == 404
    assert (await alice.get(INVITES)).json()["total"] == 1
    async with transaction() as session:
        await session.execute(update(Invite).values(expires_at=now() + timedelta(hours=1)))
    assert (await nora.post(ACCEPT, json=body)).status_code == 200
    assert (await nora.post(ACCEPT, json=body)).status_code == 404
    for token in ("nonsense", "", "ü", made["token"] + "x"):
        assert (await nora.post(ACCEPT, json={"token": token})).status_code == 404
    assert (await nora.post(ACCEPT, json={})).status_code == 422


async def test_an_invitation_is_for_its_address_alone(
    alice: Client, bob: Client, transaction: Transaction, calling: Caller, world: World
) -> None:
    """3.3; S9, fixed: who has no address accepts nothing."""
    made = (await alice.post(INVITES, json=NORAS)).json()
    nameless = await a_person(transaction, "Nobody", email=None)
    for client in (bob, calling(nameless)):
        refused = await client.post(ACCEPT, json={"token": made["token"]})
        assert (refused.status_code, refused.json()["code"]) == (403, "invite_for_another")
    assert (await alice.get(INVITES)).json()["total"] == 1
    async with transaction() as session:
        assert not (
            await session.scalars(select(Member).where(Member.user_id == nameless.id))
        ).all()


async def test_a_verified_address_lets_in_where_it_was_invited_first(
    alice: Client, charlie: Client, transaction: Transaction, calling: Caller, world: World
) -> None:
    """Point 29."""
    await charlie.post(INVITES, json={**NORAS, "role": "admin"})
    await alice.post(INVITES, json=NORAS)
    person = await a_person(transaction, "Nora", email_verified_at=now(), email="NORA@example.com")
    nora = calling(person)
    assert (await nora.post("/auth/bootstrap")).status_code == 200
    [own] = (await nora.get("/organizations/me/list")).json()
    assert (own["name"], own["role"], own["is_active"]) == ("Plover", "admin", True)
    assert (await alice.get(INVITES)).json()["total"] == 1
    assert (await charlie.get(INVITES)).json()["total"] == 0


async def test_an_address_that_somebody_only_says_is_theirs_lets_nobody_in(
    alice: Client, nora: Client, world: World
) -> None:
    """Point 29. S10, fixed."""
    await alice.post(INVITES, json=NORAS)
    await nora.post("/auth/bootstrap")
    [own] = (await nora.get("/organizations/me/list")).json()
    assert (own["name"], own["role"]) == ("Personal", "owner")
    member = (await nora.get("/organizations/me/member")).json()
    assert member["all_boards_read"] is member["all_boards_write"] is True


async def test_an_invitation_that_has_run_out_lets_nobody_in(
    alice: Client, transaction: Transaction, calling: Caller, world: World
) -> None:
    """Point 29. S9, fixed."""
    await alice.post(INVITES, json=NORAS)
    async with transaction() as session:
        await session.execute(update(Invite).values(expires_at=now()))
    nora = calling(await a_person(transaction, "Nora", email_verified_at=now()))
    assert (await nora.get("/organizations/me")).json()["name"] == "Personal"
