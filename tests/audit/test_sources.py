"""What the audit records: changes, sign-ins, failures and refusals, with their origin."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from core.audit_context import WORKER, AuditContext, audit_context
from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import TooMany
from core.security.secrets import hash_password, hash_token
from models import Event, EventType, Note
from services import audit, counters, identity, organizations
from services.audit import rejections
from services.audit.rejections import MAX_RECORDS_PER_MINUTE, AttemptCounter
from services.events import EVENT_DEFINITIONS, NewEvent
from services.events.commands import OBJECT_ID_KEYS, derive_origins, derive_records
from services.identity.verification import FailedAttemptCounter
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.audit_records import list_records
from tests.support.board_rows import WEBHOOK_SECRET, make_webhook
from tests.support.people_rows import make_sign_in, token_secret
from tests.support.world import World
from tests.web.conftest import Browsers

PASSWORD = "a quiet long watch"
CANARY = "mc_user_canary-that-must-not-be-stored"


@pytest.fixture(autouse=True)
def fresh_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("attempts", "limited_attempts"):  # in one minute
        monkeypatch.setattr(rejections, name, AttemptCounter(clock=lambda: 0.0))


@pytest.fixture
async def password(transaction: TransactionFactory, world: World) -> dict[str, str]:
    async with transaction() as session:
        world.alice.password_hash = hash_password(PASSWORD)
        await session.merge(world.alice)
    return {"email": "alice@example.com", "password": PASSWORD}


def test_changes_are_audited_and_communication_is_not() -> None:
    audited = {type for type, one in EVENT_DEFINITIONS.items() if one.audit_text is not None}
    assert not {type.value.partition(".")[0] for type in audited} & {"message", "run"}
    assert {EventType.MEMBER_UPDATED, EventType.BOARD_PAUSED, EventType.APPROVAL_APPROVED} < audited


def test_every_audited_event_has_the_id_of_its_object() -> None:
    sources: dict[str, str] = defaultdict(str)  # by domain
    for path in Path("services").rglob("*.py"):
        sources[path.parts[1]] += path.read_text()
    del sources["events"]
    for type, definition in EVENT_DEFINITIONS.items():
        kind = type.value.partition(".")[0]
        key = OBJECT_ID_KEYS.get(kind, f"{kind}_id")
        is_column = kind not in OBJECT_ID_KEYS and key in Event.__table__.columns
        if definition.audit_text is None or is_column or kind == "approval_policy":
            continue  # a policy is that of the board of the event
        recording = [source for source in sources.values() if f"EventType.{type.name}" in source]
        assert any(f'"{key}"' in source for source in recording), type


async def test_a_change_has_actor_credential_address_cause_and_values(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    headers = {"X-Request-Id": "request-17", "X-Forwarded-For": "198.51.100.7"}
    changed = await alice.patch(
        f"/organizations/me/members/{world.bob_member.id}", json={"role": "admin"}, headers=headers
    )
    assert changed.status_code == 200
    [record] = await list_records(transaction, action="member.updated")
    assert (record.actor_kind, record.actor_id) == ("user", world.alice.id)
    assert record.credential == "api_token"
    assert record.credential_id == token_secret(world.alice)[:20]
    assert record.address == "127.0.0.1"  # the proxy is not trusted
    assert record.cause == "request:request-17"
    assert (record.object_kind, record.object_id) == ("member", str(world.bob.id))
    assert record.before == {"role": "member"}
    assert record.after is not None
    assert record.after["role"] == "admin"


async def test_communication_keeps_credential_address_and_cause(
    alice: Client,
    lead: Client,
    bob: Client,
    charlie: Client,
    anonymous: Client,
    transaction: TransactionFactory,
    world: World,
) -> None:
    """Comments, chat and messages, without a record of the chain and without their text."""
    board, headers = f"/boards/{world.board.id}", {"X-Request-Id": "request-18"}
    task = (await lead.post(f"/agent{board}/tasks", json={"title": "Count the gulls"})).json()
    before = len(await list_records(transaction))
    comment = {"message": "Eleven on the pier."}
    chat = {"content": "Anybody there?", "tags": ["chat"]}
    for client, path, body in (
        (alice, f"{board}/tasks/{task['id']}/comments", comment),
        (lead, f"/agent{board}/tasks/{task['id']}/comments", comment),
        (bob, f"{board}/memory", chat),
        (lead, f"/agent{board}/agents/{world.worker.id}/nudge", {"message": "Wake up."}),
    ):
        sent = await client.post(path, json=body, headers=headers)
        assert sent.status_code == 200, sent.text
    assert len(await list_records(transaction)) == before
    path = "/organizations/me/audit/communication"
    page = (await alice.get(path)).json()
    found = [one for one in page["items"] if one["action"] != "message.queued"]
    assert [(one["action"], one["actor_kind"], one["actor_name"]) for one in found] == [
        ("task.comment", "user", "Alice"),
        ("task.comment", "agent", "Lead"),
        ("board.memory_created", "user", "Bob"),
    ]
    assert page["items"][-1]["action"] == "message.queued"  # the nudge
    assert {one["cause"] for one in found} == {"request:request-18"}
    for one in page["items"]:
        assert one["address"] == "127.0.0.1"
        is_user = one["actor_kind"] == "user"
        assert one["credential"] == ("api_token" if is_user else "agent_token")
    assert found[0]["credential_id"] == token_secret(world.alice)[:20]
    assert (found[0]["task_id"], found[0]["actor_id"]) == (task["id"], str(world.alice.id))
    assert "Eleven" not in str(page)
    after = {"after": found[1]["number"]}
    later = (await alice.get(path, params=after)).json()
    assert later["items"] == [one for one in page["items"] if one["number"] > found[1]["number"]]
    assert later["total"] == page["total"] == len(page["items"])
    async with transaction() as session:
        assert await counters.repair_counters(session) == []
    theirs = (await charlie.get(path)).json()
    assert (theirs["items"], theirs["total"]) == ([], 0)
    for client, status in ((bob, 403), (lead, 401), (anonymous, 401)):
        assert (await client.get(path)).status_code == status


async def test_a_delivery_of_a_webhook_has_the_webhook_as_credential(
    alice: Client,
    anonymous: Client,
    transaction: TransactionFactory,
    world: World,
    browsers: Browsers,
) -> None:
    webhook = make_webhook(world.board)
    async with transaction() as session:
        session.add(webhook)
    path = f"/boards/{world.board.id}/webhooks/{webhook.id}"
    sent = await anonymous.post(path, json={}, headers={"X-Gitlab-Token": WEBHOOK_SECRET})
    assert sent.status_code == 202
    found = (await alice.get("/organizations/me/audit/communication")).json()["items"]
    assert {(one["credential"], one["credential_id"]) for one in found} == {
        ("webhook", str(webhook.id))
    }
    page = (await browsers(world.alice).get("/audit/communication")).text
    assert "A webhook" in page
    assert "with the secret of a webhook" in page
    assert "Not signed in" not in page


async def test_every_event_of_a_request_has_a_record_or_an_origin(world: World) -> None:
    """Those of the worker have neither actor nor address."""
    organization_id = world.tern.id
    made = [
        NewEvent(type, world.alice, organization_id=organization_id, data=data)
        for type in EventType
        for data in ({}, {"is_chat": True})
    ]
    rows = [event.to_row() for event in made]
    request = AuditContext(actor_kind="user", credential="session", address="192.0.2.7")
    with audit_context(request):
        kept = [*derive_records(made, rows), *derive_origins(made, rows)]
    assert len(kept) == len(made)
    with audit_context(WORKER):
        assert derive_origins(made, rows) == []


async def test_only_admins_see_the_page_of_communication(
    browsers: Browsers, transaction: TransactionFactory, world: World
) -> None:
    alice, bob = browsers(world.alice), browsers(world.bob)
    path = f"/boards/{world.board.id}/chat"
    assert (await alice.post(path, data={"content": "Anybody there?"})).status_code == 303
    page = (await alice.get("/audit/communication")).text
    assert ("Alice" in page, "in a browser" in page, "127.0.0.1" in page) == (True, True, True)
    assert "Anybody there?" not in page
    assert 'href="/audit/communication"' in (await alice.get("/audit")).text
    assert (await bob.get("/audit/communication")).status_code == 403
    theirs = await browsers(world.charlie).get("/audit/communication")
    assert "Alice" not in theirs.text


async def test_the_page_of_communication_shows_that_of_one_person(
    browsers: Browsers, world: World
) -> None:
    path = f"/boards/{world.board.id}/chat"
    for user in (world.alice, world.bob):
        sent = await browsers(user).post(path, data={"content": "Anybody there?"})
        assert sent.status_code == 303
    alice = browsers(world.alice)
    everybody = (await alice.get("/audit/communication")).text
    link = f'href="/audit/communication?actor={world.bob.id}"'
    assert (everybody.count('id="event-'), everybody.count(link)) == (4, 2)
    found = (await alice.get(f"/audit/communication?actor={world.bob.id}")).text
    assert (found.count('id="event-'), ">Alice</b>" in found) == (2, False)
    assert f'<input type="hidden" name="actor" value="{world.bob.id}">' in found
    assert (
        "No record matches" in (await alice.get(f"/audit/communication?actor={UUID(int=7)}")).text
    )


async def test_changes_of_agents_name_the_agent_and_its_token(
    lead: Client, transaction: TransactionFactory, world: World
) -> None:
    path = f"/agent/boards/{world.board.id}/tasks"
    created = await lead.post(path, json={"title": "Count the gulls"})
    assert created.status_code == 200
    [record] = await list_records(transaction, action="task.created")
    assert (record.actor_kind, record.actor_name) == ("agent", "Lead")
    assert record.credential == "agent_token"
    assert record.object_name == "Count the gulls"
    assert record.event_id is not None


async def test_an_agent_update_has_the_values_before_and_after(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    path = f"/agents/{world.worker.id}"
    assert (await alice.patch(path, json={"name": "Porter"})).status_code == 200
    [record] = await list_records(transaction, action="agent.updated")
    assert record.before == {"name": "Worker"}
    assert record.after is not None
    assert record.after["name"] == "Porter"


async def test_sign_ins_are_recorded_in_every_organization_of_the_user(
    browsers: Browsers, password: dict[str, str], transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        await organizations.create_organization(
            session, world.alice, organizations.OrganizationCreate(name="Second")
        )
    signed_in = await browsers(None).post("/sign-in", data=password)
    assert signed_in.status_code == 303
    records = await list_records(transaction, action="session.started")
    assert len({record.organization_id for record in records}) == 2
    assert {record.actor_name for record in records} == {"Alice"}
    assert {record.credential for record in records} == {"password"}
    assert PASSWORD not in str([vars(record) for record in records])


async def test_a_wrong_password_is_recorded_in_the_organization(
    browsers: Browsers, password: dict[str, str], transaction: TransactionFactory, world: World
) -> None:
    await browsers(None).post("/sign-in", data=password | {"password": "something else"})
    [record] = await list_records(transaction, action="sign_in.failed")
    assert record.organization_id == world.tern.id
    assert (record.actor_kind, record.object_name) == ("anonymous", "alice@example.com")
    assert "something else" not in str(vars(record))


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [(" Nobody@Example.com ", "nobody@example.com"), (PASSWORD, "not an e-mail address")],
)
async def test_an_unknown_name_is_recorded_in_the_installation(
    browsers: Browsers,
    transaction: TransactionFactory,
    world: World,
    typed: str,
    recorded: str,
) -> None:
    await browsers(None).post("/sign-in", data={"email": typed, "password": "x"})
    [record] = await list_records(transaction, action="sign_in.failed")
    assert (record.organization_id, record.object_name) == (None, recorded)


async def test_a_flood_of_failures_adds_few_records(
    transaction: TransactionFactory, world: World
) -> None:
    for n in range(1, 131):
        await audit.record_failed_sign_in(transaction, f"nobody-{n}@example.com")
    records = await list_records(transaction, action="sign_in.failed")
    numbers = [(record.after or {})["attempts_in_this_minute"] for record in records]
    assert numbers == [*range(1, MAX_RECORDS_PER_MINUTE + 1), 100]


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/settings/password", {"current": "something else", "new": "another long password"}),
        ("/sign-in/again", {"password": "something else"}),
    ],
)
async def test_a_wrong_password_of_a_signed_in_user_is_recorded(
    browsers: Browsers,
    password: dict[str, str],
    transaction: TransactionFactory,
    world: World,
    path: str,
    sent: dict[str, str],
) -> None:
    assert (await browsers(world.alice).post(path, data=sent)).status_code in (401, 422)
    [record] = await list_records(transaction, action="sign_in.failed")
    assert record.organization_id == world.tern.id
    assert (record.actor_name, record.object_id) == ("Alice", str(world.alice.id))
    assert "something else" not in str(vars(record))


async def test_attempts_above_the_limit_are_recorded_once_per_account_and_address(
    browsers: Browsers, transaction: TransactionFactory, world: World, monkeypatch: Any
) -> None:
    async def refuse(*_: object) -> None:
        raise TooMany(retry_after=7)

    monkeypatch.setattr(FailedAttemptCounter, "_wait_for_turn", refuse)
    anonymous, alice = browsers(None), browsers(world.alice)
    sent = {"email": "alice@example.com", "password": "something else"}
    for _ in range(3):
        assert (await anonymous.post("/sign-in", data=sent)).status_code == 429
    other = sent | {"email": "nobody@example.com"}
    assert (await anonymous.post("/sign-in", data=other)).status_code == 429
    again = await alice.post("/sign-in/again", data={"password": "something else"})
    assert again.status_code == 429
    records = await list_records(transaction, action="sign_in.limited")
    assert [(record.object_name, record.organization_id) for record in records] == [
        ("alice@example.com", world.tern.id),
        ("nobody@example.com", None),
    ]
    assert all(record.address for record in records)
    assert await list_records(transaction, action="sign_in.failed") == []


async def test_a_flood_above_the_limit_adds_few_records(
    transaction: TransactionFactory, world: World
) -> None:
    for _ in range(130):
        await audit.record_limited_sign_in(transaction, "alice@example.com")
    for n in range(MAX_RECORDS_PER_MINUTE + 5):
        await audit.record_limited_sign_in(transaction, f"nobody-{n}@example.com")
    records = await list_records(transaction, action="sign_in.limited")
    name = "attempts_of_this_account_and_address"
    counts = Counter((record.after or {})[name] for record in records)
    assert counts == {1: 1 + MAX_RECORDS_PER_MINUTE, 100: 1}


async def test_a_refused_request_is_recorded(
    rita: Client, transaction: TransactionFactory, world: World
) -> None:
    path = f"/boards/{world.board.id}/tasks"
    assert (await rita.post(path, json={"title": "Not allowed"})).status_code == 403
    [record] = await list_records(transaction, action="request.refused")
    assert record.organization_id == world.tern.id
    assert (record.actor_name, record.object_name) == ("Rita", f"POST /api/v1{path}")


async def test_a_refused_page_and_a_forged_form_are_recorded(
    browsers: Browsers, transaction: TransactionFactory, world: World
) -> None:
    browser = browsers(world.rita)
    assert (await browser.get("/fields")).status_code == 403
    other_site = {"Sec-Fetch-Site": "cross-site"}
    assert (await browser.post("/sign-out", headers=other_site)).status_code == 403
    records = await list_records(transaction, action="request.refused")
    assert {(record.actor_name, record.object_name) for record in records} == {
        ("Rita", "GET /fields"),
        (None, "POST /sign-out"),
    }


async def test_an_invalid_token_is_recorded_without_its_secret(
    client_for: ClientFactory, transaction: TransactionFactory, world: World
) -> None:
    client = client_for(None)
    for token in (CANARY, "a password that was pasted"):
        headers = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/users/me", headers=headers)).status_code == 401
    assert (await client.get("/users/me")).status_code == 401  # without a token: no attempt
    first, second = await list_records(transaction, action="token.rejected")
    assert (first.organization_id, first.object_id) == (None, CANARY[:20])
    assert second.object_id is None
    stored = str([vars(first), vars(second)])
    assert CANARY not in stored
    assert "pasted" not in stored


async def test_tokens_and_sessions_are_recorded(
    browsers: Browsers, transaction: TransactionFactory, world: World
) -> None:
    browser = browsers(world.alice)
    page = await browser.post("/settings/tokens", data={"name": "Nightly script"})
    assert page.status_code == 303
    phone = make_sign_in(world.alice)
    phone.secret_hash = hash_token("phone")
    async with transaction() as session:
        await session.merge(phone)
        [token] = [
            one
            for one in await identity.list_api_tokens(session, world.alice)
            if one.name == "Nightly script"
        ]
    await browser.post(f"/settings/tokens/{token.id}/endings")
    await browser.post(f"/settings/sessions/{phone.id}/endings")
    await browser.post("/settings/sessions/endings")
    await browser.post("/sign-out")
    records = await list_records(transaction, organization_id=world.tern.id)
    actions = [(record.action, record.object_name) for record in records]
    assert actions == [
        ("token.created", "Nightly script"),
        ("token.revoked", "Nightly script"),
        ("session.ended", None),
        ("session.ended", "all other sessions"),
        ("session.ended", None),
    ]
    assert {record.credential for record in records} == {"session"}
    assert all(record.address for record in records)


async def test_tokens_that_are_revoked_together_are_recorded(
    browsers: Browsers, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        made = [
            (
                await identity.create_api_token(
                    session, world.alice, identity.ApiTokenCreate(name=name)
                )
            )[0]
            for name in ("figures", "script of the night")
        ]
    ids = {"ids": [str(token.id) for token in made]}
    await browsers(world.alice).post("/settings/tokens/endings", data=ids)
    revoked = await list_records(transaction, action="token.revoked")
    assert {one.object_id for one in revoked} == {token.prefix for token in made}
    assert {one.actor_name for one in revoked} == {"Alice"}


async def test_another_name_is_recorded_and_has_no_invisible_characters(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    named = await alice.patch("/users/me", json={"preferred_name": "Bob\u200b\u202e"})
    assert named.json()["preferred_name"] == "Bob"
    await alice.patch("/users/me", json={"preferred_name": "Bob", "notes": "Nothing new."})
    [record] = await list_records(transaction, action="account.renamed")
    assert (record.organization_id, record.object_id) == (world.tern.id, str(world.alice.id))
    assert (record.before, record.after) == ({"name": "Alice"}, {"name": "Bob"})


async def test_a_changed_password_is_recorded(
    browsers: Browsers, password: dict[str, str], transaction: TransactionFactory, world: World
) -> None:
    browser = browsers(world.alice)
    forms = {"current": PASSWORD, "new": "another quiet watch"}
    assert (await browser.post("/settings/password", data=forms)).status_code == 303
    [record] = await list_records(transaction, action="password.changed")
    assert (record.actor_name, record.before, record.after) == ("Alice", None, None)
    records = await list_records(transaction, organization_id=world.tern.id)
    actions = [(one.action, one.object_name) for one in records if "session" in one.action]
    assert actions == [("session.ended", "all other sessions"), ("session.renewed", None)]


async def test_a_reset_password_records_what_it_ends(
    transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        token, _ = await identity.create_api_token(
            session, world.bob, identity.ApiTokenCreate(name="figures")
        )
        secret = await identity.create_password_link(session, "bob@example.com")
    async with transaction() as session:
        await identity.reset_password(session, secret, new_hash="a hash")
    revoked = await list_records(transaction, action="token.revoked", object_name="figures")
    assert [(one.object_id, one.actor_name) for one in revoked] == [(token.prefix, "Bob")]
    [ended] = await list_records(transaction, action="session.ended")
    assert (ended.object_name, ended.actor_name) == ("all sessions", "Bob")


async def test_a_renewed_session_is_recorded(transaction: TransactionFactory, world: World) -> None:
    async with transaction() as session:
        await identity.start_session(session, world.alice, user_agent=None, ip=None)
        sign_in = (await identity.list_sessions(session, world.alice))[0]
        await identity.renew_session(session, world.alice, sign_in.id)
    [renewed] = await list_records(transaction, action="session.renewed")
    assert (renewed.organization_id, renewed.object_id) == (world.tern.id, str(sign_in.id))


async def test_the_record_of_a_deleted_organization_remains(
    transaction: TransactionFactory, world: World
) -> None:
    audit.identify_actor(world.charlie)
    async with transaction() as session:
        await organizations.delete_organization(session, world.charlie_member, signed_in_at=now())
    records = await list_records(transaction, action="organization.deleted")
    assert {record.organization_id for record in records} == {None, world.plover.id}
    assert {record.actor_name for record in records} == {"Charlie"}


async def test_chat_is_not_audited_but_a_changed_note_is(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    path = f"/boards/{world.board.id}/memory"
    await alice.post(path, json={"content": "Hello", "tags": ["chat"]})
    note = (await alice.post(path, json={"content": "The tide is late"})).json()
    async with transaction() as session:
        assert await session.get(Note, note["id"]) is not None
    records = await list_records(transaction, object_kind="note")
    assert [record.object_id for record in records] == [note["id"]]


async def test_tokens_in_values_are_masked(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    created = await alice.post(f"/boards/{world.board.id}/tasks", json={"title": f"Use {CANARY}"})
    assert created.status_code == 200
    [record] = await list_records(transaction, action="task.created")
    assert record.object_name == "Use mc_user_***"


async def test_line_breaks_in_a_name_stay_inside_one_record(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    title = 'Harmless", "action": "member.removed\r\n{"sequence": 1}'
    await alice.post(f"/boards/{world.board.id}/tasks", json={"title": title})
    [record] = await list_records(transaction, action="task.created")
    exported = await alice.get("/organizations/me/audit/export")
    assert len(exported.text.splitlines()) == record.sequence + 3  # header, this export, footer
    assert audit.verify_export(exported.content.splitlines(keepends=True)).problem is None
