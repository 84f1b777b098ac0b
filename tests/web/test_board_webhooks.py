"""The webhooks of a board: their list, forms, secrets and rights."""

import html
import re
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import delete, select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, BoardWebhook
from services.board_webhooks.commands import decrypt_secrets
from tests.support.board_rows import (
    WEBHOOK_SECRET,
    make_webhook,
    make_webhook_payload,
)
from tests.support.secret_key import CIPHER
from tests.support.stored_webhooks import add_webhook
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
FAR_ID = "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"
SECRET = re.compile(r'data-copy="(whsec_[^"]+)"')


@pytest.fixture
def hooks_path(world: World) -> str:
    return f"/boards/{world.board.id}/webhooks"


async def load_webhooks(transaction: TransactionFactory) -> list[BoardWebhook]:
    async with transaction() as session:
        query = select(BoardWebhook).order_by(BoardWebhook.created_at)
        return list((await session.scalars(query)).all())


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{re.escape(name)}" value="([^"]*)"', page)
    assert found
    return html.unescape(found[1])


async def test_a_new_webhook_shows_its_secret_once(
    bob: httpx2.AsyncClient, world: World, transaction: TransactionFactory, hooks_path: str
) -> None:
    assert "No webhooks yet." in (await bob.get(hooks_path)).text
    form = (await bob.get(f"{hooks_path}/new")).text
    assert "The lead (Lead)" in form
    assert f'data-suggest="board={world.board.id}"' in form
    fields = {"description": "Triage <it>.", "agent_id": str(world.worker.id), "secret": ""}
    created = await bob.post(hooks_path, data=fields)
    assert created.status_code == 303
    page = (await bob.get(created.headers["location"])).text
    [secret] = SECRET.findall(page)
    [hook] = await load_webhooks(transaction)
    assert decrypt_secrets(hook, CIPHER, now()) == [html.unescape(secret)]
    assert f"/api/v1{created.headers['location']}" in page
    assert "Triage &lt;it&gt;." in page
    assert SECRET.findall((await bob.get(created.headers["location"])).text) == []
    listed = (await bob.get(hooks_path)).text
    assert "Worker" in listed
    assert "No payloads yet" in listed


async def test_a_webhook_of_a_code_host_needs_no_instruction(
    bob: httpx2.AsyncClient, world: World, transaction: TransactionFactory, hooks_path: str
) -> None:
    created = await bob.post(hooks_path, data={"description": "", "action": "forge"})
    assert created.status_code == 303
    path = created.headers["location"]
    for address in (hooks_path, path):
        assert "Follow GitHub or GitLab" in (await bob.get(address)).text

    rejected = await bob.post(f"{path}/action", data={"action": "notify"})

    assert rejected.status_code == 422
    assert "The agent needs an instruction." in rejected.text
    [hook] = await load_webhooks(transaction)
    assert (hook.action.value, hook.description) == ("forge", "")


async def test_a_new_webhook_has_a_default_on_a_board_without_lead(
    alice: httpx2.AsyncClient, world: World, transaction: TransactionFactory, hooks_path: str
) -> None:
    notice = "This board has no lead. Choose the agent"
    assert notice not in (await alice.get(f"{hooks_path}/new")).text
    form = (await alice.get(f"/boards/{world.garden.id}/webhooks/new")).text
    assert notice in form
    assert f'name="agent_id" value="{world.gardener.id}"' in form
    assert 'data-none="The lead, once the board has one"' in form

    hook = make_webhook(world.garden, agent_id=None)
    async with transaction() as session:
        session.add(hook)
    edited = (await alice.get(f"/boards/{world.garden.id}/webhooks/{hook.id}/edit")).text
    assert 'name="agent_id" value=""' in edited
    async with transaction() as session:
        await session.execute(delete(Agent).where(Agent.id == world.gardener.id))
    form = (await alice.get(f"/boards/{world.garden.id}/webhooks/new")).text
    assert "This board has no agents. Payloads are kept" in form


@pytest.mark.parametrize("stored", ["gardener", "lead"])
async def test_a_saved_form_keeps_an_agent_that_is_no_choice(
    bob: httpx2.AsyncClient, world: World, transaction: TransactionFactory, stored: str
) -> None:
    agent: Agent = getattr(world, stored)
    _, path = await add_webhook(transaction, world, agent_id=agent.id)
    page = (await bob.get(f"{path}/edit")).text
    assert f'name="agent_id" value="{agent.id}"' in page
    name = "Unknown" if stored == "gardener" else "Lead"  # whose board Bob cannot read
    assert re.search(rf'id="field-agent_id-value".*?>{name}<', page)
    fields = {name: hidden(page, f"shown.{name}") for name in ("description", "agent_id")}
    fields = {f"shown.{name}": value for name, value in fields.items()}
    given = {"description": "Something else", "agent_id": str(agent.id), "enabled": "true"}
    assert (await bob.post(f"{path}/edit", data=fields | given)).status_code == 303
    [saved] = await load_webhooks(transaction)
    assert (saved.agent_id, saved.description) == (agent.id, "Something else")

    chosen = await bob.post(f"{path}/edit", data=fields | given | {"agent_id": ""})
    assert chosen.status_code == 303
    assert (await load_webhooks(transaction))[0].agent_id is None


async def test_an_own_secret_is_not_shown(
    bob: httpx2.AsyncClient, transaction: TransactionFactory, hooks_path: str
) -> None:
    fields = {"description": "Triage", "secret": "my own long secret"}
    label = 'Own secret <span class="opt">optional</span>'
    assert label in (await bob.get(f"{hooks_path}/new")).text
    created = await bob.post(hooks_path, data=fields)
    assert label in (await bob.get(f"{created.headers['location']}/edit")).text
    page = (await bob.get(created.headers["location"])).text
    assert "shown once" not in page
    assert "my own long secret" not in page
    [hook] = await load_webhooks(transaction)
    assert decrypt_secrets(hook, CIPHER, now()) == ["my own long secret"]


async def test_a_short_secret_is_marked_and_cannot_be_entered(
    bob: httpx2.AsyncClient, rita: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    hook, path = await add_webhook(transaction, world)
    pages = {path.rpartition("/")[0]: "Short secret", path: "fewer than 16 characters"}
    pages[f"{path}/edit"] = "fewer than 16 characters"
    for address, mark in pages.items():
        assert mark not in (await bob.get(address)).text
    async with transaction() as session:
        short = CIPHER.encrypt("short", f"board_webhooks.secret:{hook.id}")
        await session.execute(update(BoardWebhook).values(encrypted_secret=short))
    for address, mark in pages.items():
        assert mark in (await bob.get(address)).text
    assert "fewer than" not in (await rita.get(path)).text  # she cannot replace it
    rejected = await bob.post(f"{path}/secrets", data={"secret": "x" * 15})
    assert rejected.status_code == 422
    assert "A secret has at least 16 characters." in rejected.text
    assert (await bob.post(f"{path}/secrets", data={"secret": "x" * 16})).status_code == 303
    assert "fewer than" not in (await bob.get(path)).text


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"description": " "}, "The agent needs an instruction."),
        ({"description": "a" * 5_001}, "5,000"),
        ({"description": "a", "agent_id": FAR_ID}, "There is no such agent on this board."),
        ({"description": "a", "agent_id": "x"}, "Choose one of those that are offered."),
        ({"description": "a", "signature_header": "a b"}, "cannot be the name of a header"),
        ({"description": "a\0"}, "cannot be stored"),
    ],
)
async def test_a_rejected_form_is_shown_again(
    bob: httpx2.AsyncClient,
    world: World,
    transaction: TransactionFactory,
    hooks_path: str,
    fields: dict[str, str],
    reason: str,
) -> None:
    _, path = await add_webhook(transaction, world)
    for address in (hooks_path, f"{path}/edit"):
        rejected = await bob.post(address, data=fields | {"secret": "my-own-long-secret"})
        assert rejected.status_code == 422
        assert reason in html.unescape(rejected.text), rejected.text
        assert "my-own-long-secret" not in rejected.text
    assert len(await load_webhooks(transaction)) == 1


async def test_a_webhook_is_changed_and_deleted(
    bob: httpx2.AsyncClient, world: World, transaction: TransactionFactory, hooks_path: str
) -> None:
    _, path = await add_webhook(transaction, world)
    form = (await bob.get(f"{path}/edit")).text
    shown = {
        name: hidden(form, name)
        for name in ("shown.description", "shown.agent_id", "shown.enabled")
    }
    fields = {"description": "Other", "agent_id": "", "signature_header": "X-Signature"}
    saved = await bob.post(f"{path}/edit", data=fields | shown)
    assert saved.headers["location"] == path
    [hook] = await load_webhooks(transaction)
    assert (hook.description, hook.agent_id, hook.enabled) == ("Other", None, False)
    assert hook.signature_header == "X-Signature"
    assert "Off" in (await bob.get(hooks_path)).text
    outdated = await bob.post(f"{path}/edit", data=fields | shown | {"description": "Mine"})
    assert outdated.status_code == 409
    assert "Other" in outdated.text
    assert "Mine" in outdated.text
    deleted = await bob.post(f"{path}/deletions")
    assert deleted.headers["location"] == hooks_path
    assert await load_webhooks(transaction) == []
    assert (await bob.get(path)).status_code == 404


async def test_a_secret_is_replaced_with_an_overlap(
    bob: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    _, path = await add_webhook(transaction, world)
    replaced = await bob.post(f"{path}/secrets", data={"secret": ""})
    assert replaced.headers["location"] == path
    [secret] = SECRET.findall((await bob.get(path)).text)
    [hook] = await load_webhooks(transaction)
    assert decrypt_secrets(hook, CIPHER, now()) == [html.unescape(secret), WEBHOOK_SECRET]
    form = (await bob.get(f"{path}/edit")).text
    assert "The previous secret is accepted until" in form
    ended = await bob.post(f"{path}/secrets/endings")
    assert ended.headers["location"] == path
    [hook] = await load_webhooks(transaction)
    assert decrypt_secrets(hook, CIPHER, now()) == [html.unescape(secret)]
    assert "The previous secret" not in (await bob.get(f"{path}/edit")).text
    too_long = await bob.post(f"{path}/secrets", data={"secret": "x" * 201})
    assert too_long.status_code == 422
    assert "200" in too_long.text


async def test_an_admin_allows_unsigned_payloads_after_a_warning(
    alice: httpx2.AsyncClient,
    bob: httpx2.AsyncClient,
    rita: httpx2.AsyncClient,
    charlie: httpx2.AsyncClient,
    anonymous: httpx2.AsyncClient,
    transaction: TransactionFactory,
    world: World,
    hooks_path: str,
) -> None:
    hook, path = await add_webhook(transaction, world)
    allow, end = f"{path}/unsigned-payloads", f"{path}/unsigned-payloads/endings"
    badge, warning = "Accepts unsigned payloads", "everybody who knows the address can send"
    form = (await alice.get(f"{path}/edit")).text
    assert "The address is the only secret" in form
    assert f'action="{allow}"' in form
    assert warning not in form
    shown_to_bob = (await bob.get(f"{path}/edit")).text
    assert "Only an admin can change this." in shown_to_bob
    assert allow not in shown_to_bob
    others = ((bob, 403), (rita, 403), (charlie, 404), (anonymous, 303))
    for client, status in others:
        assert (await client.post(allow)).status_code == status
    assert badge not in (await rita.get(hooks_path)).text

    saved = await alice.post(allow)

    assert (saved.status_code, saved.headers["location"]) == (303, path)
    assert badge in (await rita.get(hooks_path)).text
    for address in (path, f"{path}/edit"):
        assert warning in (await bob.get(address)).text
    # A form that was opened before does not end it.
    shown = [f"shown.{name}" for name in ("description", "agent_id", "enabled")]
    fields = {name: hidden(shown_to_bob, name) for name in shown}
    fields |= {"description": hook.description, "agent_id": str(hook.agent_id)}
    assert (await bob.post(f"{path}/edit", data=fields)).status_code == 303
    async with transaction() as session:
        payloads = [make_webhook_payload(hook, is_signed=signed) for signed in (False, True)]
        session.add_all(payloads)
    assert (await rita.get(path)).text.count("Unsigned<") == 1
    unsigned, signed = [(await rita.get(f"{path}/payloads/{one.id}")).text for one in payloads]
    assert "It had no signature" in unsigned
    assert "It had no signature" not in signed

    for client, status in others:
        assert (await client.post(end)).status_code == status
    assert badge in (await rita.get(hooks_path)).text
    assert (await alice.post(end)).headers["location"] == path
    for address in (hooks_path, path, f"{path}/edit"):
        page = (await alice.get(address)).text
        assert badge not in page
        assert warning not in page


async def test_others_only_turn_off_a_webhook_that_accepts_unsigned_payloads(
    alice: httpx2.AsyncClient,
    bob: httpx2.AsyncClient,
    transaction: TransactionFactory,
    world: World,
) -> None:
    hook, path = await add_webhook(transaction, world, allows_unsigned=True)
    note, field, switch = (
        "Only an admin can change a webhook",
        'name="description"',
        'name="enabled"',
    )
    form = (await bob.get(f"{path}/edit")).text
    assert [text in form for text in (note, field, switch)] == [True, False, True]
    of_admin = (await alice.get(f"{path}/edit")).text
    assert [text in of_admin for text in (note, field, switch)] == [False, True, True]
    action = (await bob.get(f"{path}/action")).text
    assert [text in action for text in (note, 'value="save"')] == [True, False]
    refused = await bob.post(f"{path}/action", data={"do": "save", "action": "forge"})
    assert refused.status_code == 403

    shown = {"shown.enabled": hidden(form, "shown.enabled")}
    assert (await bob.post(f"{path}/edit", data=shown)).status_code == 303

    [saved] = await load_webhooks(transaction)
    assert (saved.enabled, saved.description) == (False, hook.description)
    form = (await bob.get(f"{path}/edit")).text
    assert [text in form for text in (note, field, switch)] == [True, False, False]


async def test_only_writers_of_the_board_change_webhooks(
    rita: httpx2.AsyncClient,
    charlie: httpx2.AsyncClient,
    anonymous: httpx2.AsyncClient,
    world: World,
    transaction: TransactionFactory,
    hooks_path: str,
) -> None:
    hook, path = await add_webhook(transaction, world)
    async with transaction() as session:
        payload = make_webhook_payload(hook)
        session.add(payload)
    payload_path = f"{path}/payloads/{payload.id}"
    for address in (hooks_path, path, payload_path):
        shown = await rita.get(address)
        assert shown.status_code == 200
        assert f"{path}/edit" not in shown.text
        assert "Send again" not in shown.text
        assert (await charlie.get(address)).status_code == 404
        assert (await anonymous.get(address)).status_code == 303
    posts = ["", f"/{hook.id}/edit", f"/{hook.id}/secrets", f"/{hook.id}/secrets/endings"]
    posts += [f"/{hook.id}/deletions", f"/{hook.id}/payloads/{payload.id}/messages"]
    for post in posts:
        fields = {"description": "Other"}
        assert (await rita.post(hooks_path + post, data=fields)).status_code == 403
        assert (await charlie.post(hooks_path + post, data=fields)).status_code == 404
    for form in (f"{hooks_path}/new", f"{path}/edit"):
        assert (await rita.get(form)).status_code == 403
    [unchanged] = await load_webhooks(transaction)
    assert unchanged.description == hook.description


async def test_the_page_says_why_a_request_was_rejected(
    bob: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    at = now() - timedelta(minutes=5)
    rejected = {"last_rejected_at": at, "last_rejection": "webhook_signature_invalid"}
    hook, path = await add_webhook(transaction, world, **rejected)
    text = "its signature does not match. Enter the secret"
    assert text in (await bob.get(path)).text
    assert text in (await bob.get(path, headers=HTMX)).text
    async with transaction() as session:
        session.add(make_webhook_payload(hook))
    assert text not in (await bob.get(path)).text
