"""Web push: a browser subscribes, and an agent's request is decided with two taps on a phone."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.browser_subscription import BrowserSubscription, read_vapid
from tests.support.http_receiver import HttpReceiver, run_http_receiver
from tests.support.installation import LOCAL_AUTH, Installation, find_free_port
from tests.support.live_site import APPROVE, LiveSite, set_up_site
from tests.support.page_checks import PHONE

SUBSCRIBE = """config => {
  Object.defineProperty(Notification, "permission", { get: () => "granted" });
  Notification.requestPermission = async () => "granted";
  PushManager.prototype.subscribe = async (options) => {
    const key = String.fromCharCode(...options.applicationServerKey);
    localStorage.usedKey = btoa(key).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    const { endpoint, ...keys } = config;
    return { toJSON: () => ({ endpoint, keys }) };
  };
}"""
"""The push service is on this machine, and pages of a browser without a window may notify."""

RECORD = """() => {
  self.shown = new Map();
  self.registration.showNotification = async (title, { tag, data }) => {
    self.shown.set(tag, { title, data, close: () => self.shown.delete(tag) });
  };
}"""
"""A browser without a window shows no notifications; those with one tag replace each other."""

TAP = """async () => {
  const [[tag, notification]] = self.shown;
  const opened = new Promise((resolve) => { self.clients.openWindow = resolve; });
  const event = new ExtendableEvent("notificationclick");
  self.dispatchEvent(Object.assign(event, { notification }));
  return { url: await opened, title: notification.title, tag, left: self.shown.size };
}"""


RENEW = """async ([oldSubscription, endpoint, keys]) => {
  const newSubscription = { toJSON: () => ({ endpoint, keys }) };
  const event = new ExtendableEvent("pushsubscriptionchange");
  const work = new Promise((waitUntil) => Object.assign(event, { waitUntil }));
  self.dispatchEvent(Object.assign(event, { oldSubscription, newSubscription }));
  return await work.then(() => "renewed", (error) => error.message);
}"""
"""A browser renews a subscription; the result of the service worker is returned."""


@pytest.fixture
async def receiver() -> AsyncIterator[HttpReceiver]:
    async with run_http_receiver() as receiver:
        receiver.answer(201)
        yield receiver


@pytest.fixture(scope="module")
async def push_site(browser: Browser, tmp_path_factory) -> AsyncIterator[LiveSite]:
    """A site that may send to this machine."""
    environment = {"OUTBOUND_ALLOW_PRIVATE": "127.0.0.0/8", "APPROVAL_UNDO_SECONDS": "0"}
    data = tmp_path_factory.mktemp("push") / "data"
    installation = Installation(data, find_free_port(), LOCAL_AUTH | environment).start()
    site = await set_up_site(browser, installation)
    yield site
    site.close()
    installation.stop()


async def deliver(page: Page, message: dict[str, Any]) -> None:
    """Give a message to the service worker, as the browser does when it arrives."""
    session = await page.context.new_cdp_session(page)
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def note(event: dict[str, Any]) -> None:
        for one in event["registrations"]:
            if not found.done():
                found.set_result(one["registrationId"])

    session.on("ServiceWorker.workerRegistrationUpdated", note)
    await session.send("ServiceWorker.enable")
    origin = await page.evaluate("location.origin")
    given = {"origin": origin, "registrationId": await found, "data": json.dumps(message)}
    await session.send("ServiceWorker.deliverPushMessage", given)
    await session.detach()


async def wait_for_requests(receiver: HttpReceiver, count: int) -> None:
    async with asyncio.timeout(60):
        while len(receiver.requests) < count:
            await asyncio.sleep(0.02)


async def subscribe(site: LiveSite, receiver: HttpReceiver) -> tuple[Page, BrowserSubscription]:
    """Switch on notifications in a browser of a phone, and send a test."""
    subscription = BrowserSubscription(f"{receiver.address}/push/secret")
    context: BrowserContext = await site.context(viewport=PHONE)
    await context.grant_permissions(["notifications"])
    await context.add_init_script(f"({SUBSCRIBE})({json.dumps(subscription.config)})")
    page = await context.new_page()
    await page.goto(f"{site.installation.url}/settings/channels/new/push")
    await page.get_by_role("button", name="Switch on in this browser").click()
    await page.get_by_role("button", name="Send a test").click()
    await expect(page.get_by_text("The test was delivered.")).to_be_visible()
    return page, subscription


async def test_a_request_is_decided_with_two_taps_on_a_phone(
    push_site: LiveSite, receiver: HttpReceiver
) -> None:
    page, subscription = await subscribe(push_site, receiver)
    assert subscription.decrypt(receiver.requests[0])["title"] == "Test of Mission Control"
    assert await page.evaluate("localStorage.usedKey") == read_vapid(receiver.requests[0])[1]

    board = push_site.create_board("Launch")
    task = push_site.create_task(board, "Publish")
    asked = push_site.request_approval(push_site.create_agent(board), board, task, "May I?")
    await wait_for_requests(receiver, 2)
    message = subscription.decrypt(receiver.requests[1])
    [worker] = page.context.service_workers
    await worker.evaluate(RECORD)
    for _ in range(2):  # a push service may deliver twice
        await deliver(page, message)
    async with asyncio.timeout(60):
        while not await worker.evaluate("self.shown.size"):
            await asyncio.sleep(0.02)
    assert await worker.evaluate("self.shown.size") == 1

    tapped = await worker.evaluate(TAP)  # the first tap
    assert tapped == {
        "url": f"{push_site.installation.url}/approvals/{asked['id']}",
        "title": "Juniper requests approval: Complete the task “Publish”?",
        "tag": f"approval_pending:{asked['id']}",
        "left": 0,
    }
    await page.goto(tapped["url"])
    await page.get_by_role("button", name=APPROVE).first.click()  # the second tap
    path = f"/boards/{board['id']}/approvals"
    async with asyncio.timeout(60):
        while push_site.owner.call("GET", path)["items"][0]["status"] != "approved":
            await asyncio.sleep(0.1)
    await page.context.close()


async def test_a_renewed_subscription_replaces_the_old_one(
    push_site: LiveSite, receiver: HttpReceiver
) -> None:
    page, subscription = await subscribe(push_site, receiver)
    renewed = BrowserSubscription(f"{receiver.address}/push/renewed")
    endpoint, *keys = renewed.config.items()
    old = {"endpoint": subscription.endpoint}
    [worker] = page.context.service_workers
    assert await worker.evaluate(RENEW, [old, endpoint[1], dict(keys)]) == "renewed"
    refused = await worker.evaluate(RENEW, [old, endpoint[1], dict(keys)])
    assert refused == "The renewal failed: 404"
    await page.get_by_role("button", name="Send a test").click()
    await wait_for_requests(receiver, 2)
    assert receiver.requests[1].path == "/push/renewed"
    assert renewed.decrypt(receiver.requests[1])["title"] == "Test of Mission Control"
    await page.context.close()


async def test_a_browser_that_blocks_notifications_says_what_to_do(site: LiveSite) -> None:
    async with site.open_page("/settings/channels/new/push") as page:
        await expect(page.get_by_text("Notifications of this site are blocked")).to_be_visible()
        await expect(page.get_by_role("button", name="Switch on in this browser")).to_be_hidden()
