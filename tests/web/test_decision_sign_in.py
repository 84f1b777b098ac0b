"""Decisions for which a policy asks for a recent sign-in, on pages."""

import html
import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from httpx2 import AsyncClient, Response
from sqlalchemy import update

from core.clock import now
from core.db.engine import TransactionFactory
from core.security.secrets import hash_password
from models import Approval, ApprovalStatus, PolicyVerdict, SignIn, User
from tests.support.approval_pages import HTMX, approving, ask, checkbox, stored
from tests.support.world import World
from web.ui.posted_forms import ORIGIN_FIELD

__all__ = ["ask"]

PASSWORD = "a long password"
RECENT = {"policy_verdict": PolicyVerdict(rule_name="Careful", requires_recent_sign_in=True)}
PAGE = "http://mission.test/approvals/{id}?state=waiting&sort=oldest"


@pytest.fixture(autouse=True)
async def old_sign_in(transaction: TransactionFactory, world: World, alice: AsyncClient) -> None:
    """Alice has signed in more than 15 minutes ago, with a password."""
    await sign_in_ago(transaction, timedelta(minutes=16))
    async with transaction() as session:
        (await session.get_one(User, world.alice.id)).password_hash = hash_password(PASSWORD)


async def sign_in_ago(transaction: TransactionFactory, age: timedelta) -> None:
    async with transaction() as session:
        await session.execute(update(SignIn).values(authenticated_at=now() - age))


async def read_origin(client: AsyncClient, page: str) -> str:
    found = re.search(rf'name="{ORIGIN_FIELD}" value="([^"]+)"', (await client.get(page)).text)
    assert found
    return html.unescape(found[1])


def read_return_address(response: Response, header: str = "Location") -> str:
    """Return where the page that asks for the password leads to."""
    address = urlsplit(response.headers[header])
    assert address.path == "/sign-in/again"
    [next] = parse_qs(address.query)["next"]
    return next


async def decide(
    client: AsyncClient, approval: Approval, headers: dict[str, str] | None = None, **fields: str
) -> Response:
    page = f"/approvals/{approval.id}?sort=oldest"
    form = approving(approval) | {ORIGIN_FIELD: await read_origin(client, page), **fields}
    return await client.post(f"/approvals/{approval.id}/answers", data=form, headers=headers)


@pytest.mark.parametrize("status", ["approved", "rejected"])
async def test_an_old_session_decides_nothing(alice, ask, transaction, status) -> None:
    approval = await ask("First", **RECENT)
    refused = await decide(alice, approval, status=status)
    assert refused.status_code == 303
    assert read_return_address(refused).startswith(f"/approvals/{approval.id}?")
    assert (await stored(transaction, approval)).decided_status is None


async def test_the_sign_in_leads_back_to_the_approval_with_its_note(
    alice, ask, transaction
) -> None:
    approval = await ask("First", **RECENT)
    refused = await decide(alice, approval, {**HTMX}, note="Only on <Monday>")
    assert refused.status_code == 403
    next = read_return_address(refused, "HX-Redirect")
    assert "sort=oldest" in next

    form = (await alice.get(refused.headers["HX-Redirect"])).text
    assert f'name="next" value="{html.escape(next)}"' in form
    signed_in = await alice.post("/sign-in/again", data={"next": next, "password": PASSWORD})
    assert signed_in.headers["Location"] == next
    page = (await alice.get(next)).text
    assert 'value="Only on &lt;Monday&gt;"' in page
    assert "Nothing has changed yet." in page
    assert 'aria-label="status"' not in page  # the buttons say it

    decided = await decide(alice, approval, note="Only on <Monday>")
    assert decided.headers["Location"].endswith(f"answered={approval.id}")
    assert (await stored(transaction, approval)).decided_status is ApprovalStatus.APPROVED


async def test_a_selection_is_decided_completely_or_not_at_all(alice, ask, transaction) -> None:
    careful, other = await ask("Careful", **RECENT, confidence=95), await ask("Other")
    form = {"shown": [checkbox(other), checkbox(careful)], "status": "rejected"}
    origin = await read_origin(alice, "/approvals?sort=oldest")
    refused = await alice.post("/approvals/answers", data={**form, ORIGIN_FIELD: origin})
    next = read_return_address(refused)
    assert next.startswith("/approvals?sort=oldest")
    for one in (careful, other):
        assert (await stored(transaction, one)).decided_status is None

    await sign_in_ago(transaction, timedelta(minutes=14))
    page = (await alice.get(next)).text
    for one in (careful, other):
        assert re.search(rf'name="shown" value="{checkbox(one)}"[^>]* checked=""', page)
    await alice.post("/approvals/answers", data=form)
    for one in (careful, other):
        assert (await stored(transaction, one)).decided_status is ApprovalStatus.REJECTED


async def test_a_decision_is_undone_with_an_old_session(alice, ask, transaction) -> None:
    approval = await ask("First", **RECENT)
    await sign_in_ago(transaction, timedelta(minutes=1))
    await decide(alice, approval)
    await sign_in_ago(transaction, timedelta(minutes=16))
    await alice.post(f"/approvals/{approval.id}/undoings", headers=HTMX)
    assert (await stored(transaction, approval)).decided_status is None


async def test_the_page_says_that_a_recent_sign_in_is_needed(alice, ask) -> None:
    careful, other = await ask("First", **RECENT), await ask("Second")
    text = "Deciders must have signed in within the last 15 minutes."
    assert text in (await alice.get(f"/approvals/{careful.id}")).text
    assert text not in (await alice.get(f"/approvals/{other.id}")).text


async def test_a_rule_asks_for_a_recent_sign_in(alice, transaction) -> None:
    rules = "/settings/policy"
    form = {"version": "0", "name": "Careful", "effect": "ask_one"}
    await alice.post(f"{rules}/rules", data=form | {"requires_recent_sign_in": "true"})
    page = (await alice.get(rules)).text
    assert "Deciders must have signed in within the last 15 minutes" in page
    [address] = re.findall(r'href="(/settings/policy/rules/[^"]+)" aria-label', page)
    switch = r'name="requires_recent_sign_in" value="true"( checked)?'
    assert re.findall(switch, (await alice.get(address)).text) == [" checked"]
    await alice.post(address, data=form | {"version": "1"})
    assert re.findall(switch, (await alice.get(address)).text) == [""]


async def test_a_member_who_signs_in_again_reads_no_reason_about_owners(bob) -> None:
    page = (await bob.get("/sign-in/again?next=/settings")).text
    assert "This needs a recent sign-in" in page
    assert "owners" not in page
