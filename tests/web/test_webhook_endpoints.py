"""The pages of outgoing webhooks: the list, the forms, the log, and what is sent by hand."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from models import (
    EndpointState,
    WebhookDelivery,
    WebhookDeliveryState,
    WebhookEndpoint,
    new_id,
)
from tests.support.shown_forms import form_of
from tests.support.webhook_rows import SECRET, make_delivery, make_endpoint
from tests.support.world import World

HTMX = {"HX-Request": "true"}
NEW = {"url": "https://receiver.example/hook", "description": "Statistics"}


@pytest.fixture
async def endpoint(world: World, transaction: TransactionFactory) -> WebhookEndpoint:
    endpoint = make_endpoint(world.tern)
    async with transaction() as session:
        session.add(endpoint)
    return endpoint


@pytest.fixture
async def delivery(endpoint: WebhookEndpoint, transaction: TransactionFactory) -> WebhookDelivery:
    delivery = make_delivery(endpoint)
    async with transaction() as session:
        session.add(delivery)
    return delivery


@pytest.fixture
def path(endpoint: WebhookEndpoint) -> str:
    return f"/webhooks/{endpoint.id}"


async def load(transaction: TransactionFactory, model: Any, id: Any) -> Any:
    async with transaction() as session:
        return (await session.scalars(select(model).filter_by(id=id))).one_or_none()


async def test_a_form_with_a_forbidden_address_is_shown_again(
    alice, path, endpoint, transaction
) -> None:
    for address in ("/webhooks", f"{path}/edit"):
        for url, reason in (
            ("http://localhost:9/hook", "OUTBOUND_ALLOW_PRIVATE can allow it"),
            ("http://169.254.169.254/", "Requests to this address are never allowed"),
        ):
            rejected = await alice.post(address, data=NEW | {"url": url})
            assert rejected.status_code == 422
            assert reason in rejected.text
            assert f'value="{url}"' in rejected.text
    assert (await load(transaction, WebhookEndpoint, endpoint.id)).url == endpoint.url


async def test_an_address_with_an_unknown_name_gets_a_warning(alice, path) -> None:
    unknown = NEW | {"url": "https://no-such-name.invalid/hook"}
    warning = "The name in this address is not known at present."
    for address in ("/webhooks", f"{path}/edit"):
        saved = await alice.post(address, data=unknown)
        assert saved.status_code == 303
        assert warning in (await alice.get(saved.headers["Location"])).text
    assert warning not in (await alice.get(path)).text


async def test_a_webhook_is_created_and_its_secret_is_shown_once(alice, world, transaction) -> None:
    assert "No webhooks yet." in (await alice.get("/webhooks")).text
    assert (await alice.get("/webhooks/new")).status_code == 200
    body = {**NEW, "event_types": ["task.created", "run.ended"], "board_ids": [str(world.board.id)]}
    created = await alice.post("/webhooks", data=body)
    assert created.status_code == 303
    path = created.headers["Location"]
    page = await alice.get(path)
    [secret] = set(re.findall(r"whsec_[\w+/=]+", page.text))
    assert "This secret is shown once." in page.text
    assert secret not in (await alice.get(path)).text
    async with transaction() as session:
        row = (await session.scalars(select(WebhookEndpoint))).one()
    assert (row.event_types, row.board_ids) == (["task.created", "run.ended"], body["board_ids"])
    listed = (await alice.get("/webhooks")).text
    assert "2 kinds of events" in listed
    assert "1 board" in listed


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"url": ""}, "Enter an address that begins with"),
        ({"url": "ftp://receiver.example"}, "Enter an address that begins with"),
        ({"url": "https://me:secret@receiver.example"}, "Enter an address that begins with"),
        ({"description": "x" * 201}, "At most 200"),
        ({"event_types": ["task.exploded"]}, "These events do not exist: task.exploded."),
        ({"board_ids": ["here"]}, "Choose one of those that are offered."),
        ({"board_ids": [str(new_id())]}, "Choose boards that you can read"),
        ({"url": "https://receiver.example/\0"}, "cannot be stored"),
    ],
)
async def test_an_invalid_form_is_shown_again(alice, path, changed, text) -> None:
    for address in ("/webhooks", f"{path}/edit"):
        response = await alice.post(address, data=NEW | changed)
        assert response.status_code in (403, 422)
        assert text in response.text
        assert "Statistics" in response.text or "x" * 201 in response.text


async def test_only_admins_see_and_change_webhooks(
    alice, bob, rita, charlie, anonymous, path, delivery, transaction
) -> None:
    forms = ["/edit", "/switches", "/secrets", "/tests", "/replays", "/deletions"]
    forms.append(f"/deliveries/{delivery.id}/replays")
    pages = ["", "/edit", f"/deliveries/{delivery.id}"]
    period = {"since": str(now().date()), "until": str(now().date())}
    for browser, expected in ((bob, 403), (rita, 403), (charlie, 404)):
        for one in pages:
            assert (await browser.get(path + one)).status_code == expected
        for one in forms:
            assert (await browser.post(path + one, data=NEW | period)).status_code == expected
    for browser in (bob, rita):
        for address in ("/webhooks", "/webhooks/new"):
            assert (await browser.get(address)).status_code == 403
        assert (await browser.post("/webhooks", data=NEW)).status_code == 403
        assert 'href="/webhooks"' not in (await browser.get("/people")).text
    assert (await anonymous.get(path)).status_code == 303
    assert 'href="/webhooks"' in (await alice.get("/people")).text
    assert "Statistics" not in (await charlie.get("/webhooks")).text


async def test_an_admin_without_boards_sees_no_payloads(dana, path, delivery, world) -> None:
    page = (await dana.get(f"{path}/deliveries/{delivery.id}")).text
    assert "You cannot read all boards" in page
    assert "&quot;data&quot;" not in page
    refused = await dana.post("/webhooks", data=NEW)
    assert refused.status_code == 403
    assert "Choose boards that you can read" in refused.text
    assert (
        await dana.post(f"{path}/edit", data=NEW | {"url": "https://x.example"})
    ).status_code == 403


async def test_a_webhook_is_changed(alice, path, endpoint, transaction) -> None:
    hidden = form_of((await alice.get(f"{path}/edit")).text, "url")
    del hidden["form_id"]
    changes = {"url": endpoint.url, "description": "Renamed", "event_types": "run.ended"}
    values = hidden | changes
    assert (await alice.post(f"{path}/edit", data=values)).headers["Location"] == path
    changed = await load(transaction, WebhookEndpoint, endpoint.id)
    assert (changed.description, changed.event_types) == ("Renamed", ["run.ended"])
    stale = values | {"description": "Mine"}
    conflict = await alice.post(f"{path}/edit", data=stale)
    assert conflict.status_code == 409
    assert "Renamed" in conflict.text


async def test_a_webhook_is_paused_enabled_and_deleted(
    alice, path, endpoint, delivery, transaction
) -> None:
    assert (await alice.post(f"{path}/switches", data={"enabled": ""})).status_code == 303
    paused = await load(transaction, WebhookEndpoint, endpoint.id)
    assert paused.state is EndpointState.PAUSED
    page = (await alice.get(path)).text
    assert "Paused" in page
    assert "Send a test" not in page
    refused = await alice.post(f"{path}/deliveries/{delivery.id}/replays")
    assert refused.status_code == 409
    assert "This webhook is not enabled." in refused.text
    await alice.post(f"{path}/switches", data={"enabled": "on"})
    assert (await load(transaction, WebhookEndpoint, endpoint.id)).is_enabled
    assert (await alice.post(f"{path}/deletions")).headers["Location"] == "/webhooks"
    assert await load(transaction, WebhookEndpoint, endpoint.id) is None
    assert (await alice.get(path)).status_code == 404


async def test_the_secret_is_rotated(alice, path, endpoint, transaction) -> None:
    rotated = await alice.post(f"{path}/secrets")
    page = (await alice.get(rotated.headers["Location"])).text
    assert "whsec_" in page
    assert SECRET not in page
    assert "The previous secret is valid until" in page
    changed = await load(transaction, WebhookEndpoint, endpoint.id)
    assert changed.encrypted_previous_secret == endpoint.encrypted_secret


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (EndpointState.GONE, "wants no more requests"),
        (EndpointState.FAILING, "has accepted nothing for five days"),
    ],
)
async def test_a_disabled_webhook_says_why(alice, path, endpoint, transaction, state, text) -> None:
    async with transaction() as session:
        (await session.merge(endpoint)).state = state
    page = (await alice.get(path)).text
    assert "This webhook was disabled." in page
    assert text in page


async def test_the_log_is_filtered_and_shows_each_outcome(
    alice, path, endpoint, transaction
) -> None:
    async with transaction() as session:
        for outcome, status in (("address_forbidden", None), ("dns", None), ("timeout", None)):
            session.add(make_delivery(endpoint, outcome=outcome, status=status))
        states = {"state": WebhookDeliveryState.DELIVERED, "outcome": "delivered", "status": 204}
        session.add(make_delivery(endpoint, event_type="run.ended", **states))
    page = (await alice.get(path)).text
    for text in ("OUTBOUND_ALLOW_PRIVATE", "The host name is unknown.", "did not answer in time"):
        assert text in page
    part = (await alice.get(f"{path}?state=delivered", headers=HTMX)).text
    assert "<html" not in part
    assert "run.ended" in part
    assert "The host name is unknown." not in part
    assert "No deliveries." in (await alice.get(f"{path}?state=pending&offset=x")).text
    assert (await alice.get(f"{path}?state=nonsense&offset=99999999999999")).status_code == 200


async def test_a_delivery_shows_what_was_sent_and_is_sent_again(
    alice, path, delivery, transaction
) -> None:
    address = f"{path}/deliveries/{delivery.id}"
    page = (await alice.get(address)).text
    assert "The receiver answered with status 500." in page
    assert "Internal error" in page
    assert str(delivery.id) in page
    assert (await alice.get(f"{path}/deliveries/{new_id()}")).status_code == 404
    assert (await alice.post(f"{address}/replays")).headers["Location"] == address
    again = await load(transaction, WebhookDelivery, delivery.id)
    assert again.state is WebhookDeliveryState.PENDING
    assert 'hx-trigger="every 2s"' in (await alice.get(address, headers=HTMX)).text


async def test_a_test_is_sent(alice, path, transaction) -> None:
    sent = await alice.post(f"{path}/tests")
    assert "webhook.test" in (await alice.get(sent.headers["Location"])).text


async def test_a_period_is_sent_again(alice, path, delivery) -> None:
    today = now().date()
    for since, until, text in (
        ("", "", "Write a date like 2026-12-24."),
        ("2026-13-01", str(today), "Write a date like 2026-12-24."),
        (str(today), str(today - timedelta(days=3)), "The end must be after the start."),
        (str(today - timedelta(days=60)), str(today), "Only the events of the last 30 days"),
    ):
        refused = await alice.post(f"{path}/replays", data={"since": since, "until": until})
        assert refused.status_code == 422
        assert text in refused.text
    period = {"since": str(today - timedelta(days=2)), "until": str(today)}
    sent = await alice.post(f"{path}/replays", data=period)
    assert "0 events are sent again." in (await alice.get(sent.headers["Location"])).text


async def test_a_page_says_that_too_much_was_sent_by_hand(alice, delivery, path) -> None:
    for _ in range(40):
        assert (await alice.post(f"{path}/tests")).status_code == 303
    period = {"since": "2026-01-01", "until": "2026-01-02"}
    for address in ("tests", "replays", f"deliveries/{delivery.id}/replays"):
        refused = await alice.post(f"{path}/{address}", data=period)
        assert refused.status_code == 429
        assert "Too many tests and repetitions were sent by hand. Try again in" in refused.text


async def test_a_webhook_without_access_says_why_and_is_taken_over(
    alice, dana, endpoint, path, transaction
) -> None:
    async with transaction() as session:
        row = await session.merge(endpoint)
        row.state = EndpointState.OWNER_WITHOUT_ACCESS
    page = (await alice.get(path)).text
    assert "Its owner can no longer read all its boards" in page
    refused = await dana.post(f"{path}/switches", data={"enabled": "on"})
    assert refused.status_code == 403
    assert "Choose boards that you can read" in refused.text
    assert (await alice.post(f"{path}/switches", data={"enabled": "on"})).status_code == 303
    assert "Owner: Alice" in (await alice.get(path)).text
