"""What the web client of the original sends, where it differs from what is done here.

The requests are those of abhi1693/openclaw-mission-control at commit 75eb8b08, in `frontend/src`;
each test names the page. `docs/decisions/compatibility.md` says what its users do instead.
"""

from typing import Any
from urllib.parse import urlencode

import pytest

from core.clock import now
from tests.contract.test_invites import ACCEPT, INVITES, create_user
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.fake_gateway import TOKEN, FakeGateway, run_fake_gateway
from tests.support.gateway_api import make_fake_gateway
from tests.support.world import World

OPTIONS = {"gateway_disable_device_pairing": "false", "gateway_allow_insecure_tls": "false"}


def describe_error(answer: Any) -> str:
    """Return what the client shows of an error: `ApiError` in `api/mutator.ts`."""
    detail = answer.json()["detail"]
    assert isinstance(detail, str)
    return detail


async def check_connection(client: Client, url: str, token: str = "") -> Any:
    """Send the check before a gateway is saved: `checkGatewayConnection` in `lib/gateway-form.ts`.

    The parameters are in the order of `URLSearchParams` in `api/generated/gateways/gateways.ts`.
    """
    parameters = {"gateway_url": url.strip(), **OPTIONS}
    if token.strip():
        parameters["gateway_token"] = token.strip()
    return await client.get(f"/gateways/status?{urlencode(parameters)}")


def form_of(fake: FakeGateway, token: str | None) -> dict[str, Any]:
    """Return the body of `app/gateways/new/page.tsx`, and of `[gatewayId]/edit/page.tsx`."""
    return {
        "name": "Workshop",
        "url": fake.url,
        "token": token,
        "disable_device_pairing": False,
        "workspace_root": "~/.openclaw",
        "allow_insecure_tls": False,
    }


@pytest.fixture
async def fake() -> Any:
    async with run_fake_gateway(make_fake_gateway()) as running:
        yield running


async def test_a_gateway_with_a_token_is_created_on_the_page_here(
    alice: Client, fake: FakeGateway
) -> None:
    """`app/gateways/new/page.tsx` saves nothing after a check with the token in the URL."""
    refused = await check_connection(alice, fake.url, TOKEN)
    assert refused.status_code == 422
    assert "People enter it at http" in describe_error(refused)
    assert describe_error(refused).endswith("/gateways")
    assert TOKEN not in refused.text
    assert fake.connect_params == []


async def test_the_client_uses_and_edits_a_gateway_without_its_token(
    alice: Client, fake: FakeGateway
) -> None:
    """`app/gateways/[gatewayId]/page.tsx` and `…/edit/page.tsx`: the token is not readable."""
    made = (await alice.post("/gateways", json=form_of(fake, TOKEN))).json()
    read = (await alice.get(f"/gateways/{made['id']}")).json()
    assert read.get("token") is None
    assert (await check_connection(alice, read["url"])).json()["connected"] is True
    changed = form_of(fake, None) | {"name": "Renamed"}
    saved = await alice.patch(f"/gateways/{made['id']}", json=changed)
    assert (saved.status_code, saved.json()["name"]) == (200, "Renamed")
    assert (await check_connection(alice, read["url"])).json()["connected"] is True
    assert fake.connect_params[-1]["auth"]["token"] == TOKEN


async def test_a_copied_link_of_an_invitation_has_no_token(
    alice: Client, client_for: ClientFactory, transaction: Any, world: World
) -> None:
    """`app/organization/page.tsx` copies the token of the list, and `app/invite/page.tsx` sends it.

    With the token of a new link, that page accepts the invitation.
    """
    body = {
        "invited_email": "nora@example.com",
        "role": "member",
        "all_boards_read": False,
        "all_boards_write": False,
        "board_access": [{"board_id": str(world.board.id), "can_read": True, "can_write": False}],
    }
    assert (await alice.post(INVITES, json=body)).status_code == 200
    [listed] = (await alice.get(f"{INVITES}?limit=200")).json()["items"]
    assert listed["token"] is None
    nora = client_for(await create_user(transaction, "Nora"))
    refused = await nora.post(ACCEPT, json={"token": "null"})
    assert refused.status_code == 404
    assert "a part of its link is missing" in describe_error(refused)
    renewed = (await alice.post(f"/organizations/me/invites/{listed['id']}/links")).json()
    assert (await nora.post(ACCEPT, json={"token": renewed["token"]})).status_code == 200
    assert (await nora.get("/organizations/me")).json()["name"] == "Tern"


async def test_an_invited_person_with_a_verified_address_needs_no_link(
    alice: Client, client_for: ClientFactory, transaction: Any
) -> None:
    """Whoever signs in with it is a member at once, as with the client's own invitations."""
    body = {"invited_email": "nora@example.com", "role": "member", "all_boards_read": True}
    assert (await alice.post(INVITES, json=body)).status_code == 200
    verified = await create_user(transaction, "Nora", email_verified_at=now())
    nora = client_for(verified)
    assert (await nora.get("/organizations/me")).json()["name"] == "Tern"


async def test_an_organization_is_deleted_on_the_page_here(alice: Client, world: World) -> None:
    """`app/organization/page.tsx` shows the reason in its dialog."""
    refused = await alice.delete("/organizations/me")
    assert refused.status_code == 403
    assert "Do it on the page, where you are asked to sign in again." in describe_error(refused)
    assert (await alice.get("/organizations/me")).json()["id"] == str(world.tern.id)


async def test_a_webhook_of_the_client_receives_after_an_admin_allows_unsigned_payloads(
    alice: Client, anonymous: Client, world: World
) -> None:
    """`app/boards/[boardId]/edit/page.tsx` creates webhooks without a secret, and shows none."""
    webhooks = f"/boards/{world.board.id}/webhooks"
    body = {"description": "Triage it.", "enabled": True, "agent_id": None}
    assert (await alice.post(webhooks, json=body)).status_code == 200
    [listed] = (await alice.get(f"{webhooks}?limit=200")).json()["items"]
    path = listed["endpoint_path"].removeprefix("/api/v1")
    sent = await anonymous.post(path, json={"event": "deploy"})
    assert sent.status_code == 403
    await alice.patch(path, json={"allows_unsigned": True})
    changed = {"description": "Triage all.", "agent_id": str(world.worker.id)}
    assert (await alice.patch(path, json=changed)).json()["allows_unsigned"] is True
    assert (await anonymous.post(path, json={"event": "deploy"})).status_code == 202
    [payload] = (await alice.get(f"{path}/payloads?limit=20")).json()["items"]
    assert payload["payload"] == {"event": "deploy"}
