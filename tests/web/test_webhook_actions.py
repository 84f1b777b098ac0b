"""The page that chooses what a webhook does, its preview, and what it says about payloads."""

import html
import json
import re
from typing import Any

import pytest
from sqlalchemy import func, select

from models import BoardWebhook, Message, PayloadState, Task, WebhookAction, WebhookPayload
from services import board_webhooks
from services.board_webhooks import WebhookRequest
from tests.support import forge_payloads as payloads
from tests.support.board_rows import make_custom_field, make_webhook, make_webhook_payload
from tests.support.forge_payloads import github_headers

ALERT = {"alert": {"name": "<b>Disk</b>", "text": "*full*", "level": "high", "tags": ["ops"]}}
TASK = {
    "action": "task",
    "title": "Alert: {{ alert.name }}",
    "description": "{{ alert.text }}\n\n{{ alert.link }}",
    "priority": "{{ alert.level }}",
    "tags": "{{ alert.tags }}",
    "condition_operator": "equals",
}


@pytest.fixture
async def webhook(transaction, world) -> BoardWebhook:
    webhook = make_webhook(world.board, "Alerts of <b>Grafana</b>")
    async with transaction() as session:
        session.add(webhook)
    return webhook


@pytest.fixture
def path(webhook) -> str:
    return f"/boards/{webhook.board_id}/webhooks/{webhook.id}"


async def add_payload(transaction, webhook, payload: Any = ALERT, **fields) -> WebhookPayload:
    stored = make_webhook_payload(webhook, payload=payload, **fields)
    async with transaction() as session:
        session.add(stored)
    return stored


async def load(transaction, webhook) -> BoardWebhook:
    async with transaction() as session:
        return await session.get_one(BoardWebhook, webhook.id)


async def count_tasks(transaction) -> int:
    async with transaction() as session:
        return await session.scalar(select(func.count()).select_from(Task)) or 0


def preview_of(response) -> str:
    text = re.search(r'id="preview".*?</section>', response.text, re.DOTALL)
    assert text
    return text[0]


async def test_the_page_offers_the_actions_and_shows_the_template(bob, transaction, path) -> None:
    page = await bob.get(f"{path}/action")
    assert [f'value="{one}" checked' in page.text for one in WebhookAction] == [
        *(True, False, False, False)
    ]
    assert "Nothing was received yet." in page.text
    assert "Alerts of &lt;b&gt;Grafana&lt;/b&gt;" in page.text
    assert f'href="{path}/action"' in (await bob.get(path)).text
    assert page.text.count('data-suggest="board=') == 2


async def test_a_preview_shows_the_task_and_saves_nothing(bob, transaction, webhook, path) -> None:
    await add_payload(transaction, webhook)
    shown = await bob.post(f"{path}/action", data=TASK | {"do": "preview"})
    preview = preview_of(shown)
    assert shown.status_code == 200
    assert "Alert: &lt;b&gt;Disk&lt;/b&gt;" in preview
    assert "<p>*full*</p>" in preview
    assert "High" in preview
    assert "The payload has no value at alert.link." in preview
    assert "There is no tag “ops”." in preview
    assert html.escape("Alert: {{ alert.name }}") in shown.text
    assert (await load(transaction, webhook)).action is WebhookAction.NOTIFY
    assert await count_tasks(transaction) == 0


async def test_the_preview_is_of_the_chosen_payload(bob, transaction, webhook, path) -> None:
    first = await add_payload(transaction, webhook, {"alert": {"name": "First"}})
    await add_payload(transaction, webhook, {"alert": {"name": "Second"}})
    for chosen, name in ((str(first.id), "First"), ("", "Second"), ("x", "Second")):
        form = TASK | {"do": "preview", "payload": chosen}
        page = await bob.post(f"{path}/action", data=form)
        assert f"Alert: {name}" in preview_of(page)


async def test_the_preview_shows_the_custom_fields(bob, transaction, world, webhook, path) -> None:
    async with transaction() as session:
        session.add_all(make_custom_field(await session.merge(world.board), required=True))
    await add_payload(transaction, webhook)
    for lines, expected in (
        ("size: {{ alert.name }}", "&lt;b&gt;Disk&lt;/b&gt;</dd>"),
        ("size: {{ alert.link }}", "The custom field “size” is required and has no value"),
        ("other: x", "This board has no custom field “other”."),
    ):
        form = TASK | {"do": "preview", "custom_fields": lines}
        assert expected in preview_of(await bob.post(f"{path}/action", data=form))
    form = TASK | {"do": "save", "custom_fields": "size: {{ alert.name }}"}
    assert (await bob.post(f"{path}/action", data=form)).status_code == 303
    template = (await load(transaction, webhook)).template or {}
    assert template["custom_fields"] == "size: {{ alert.name }}"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"condition_path": "alert.level", "condition_value": "low"}, "would be ignored"),
        ({"title": "{{ nothing }}"}, "The title is empty"),
        ({"action": "message", "message": "Look: {{ alert.name }}"}, "Look: &lt;b&gt;Disk"),
        ({"action": "notify"}, "&#34;level&#34;: &#34;high&#34;"),
        ({"action": "forge"}, "It was not sent by GitHub or GitLab."),
        ({"title": "{{ alert"}, "Correct the template"),
    ],
)
async def test_the_preview_says_what_would_happen(
    bob, transaction, webhook, path, fields, expected
) -> None:
    await add_payload(transaction, webhook)
    page = await bob.post(f"{path}/action", data=TASK | fields | {"do": "preview"})
    assert expected in preview_of(page)


async def test_the_preview_names_what_a_code_host_reports(bob, transaction, webhook, path) -> None:
    for event, payload, text in (
        ("issues", payloads.github_issue(), "Issue 7 of acme/app: The page is blank"),
        ("pull_request", payloads.github_change(), "Pull request 12 of acme/app: Show the page"),
        ("check_run", payloads.github_check_run("failure"), "Check test on the branch main: Fails"),
    ):
        await add_payload(transaction, webhook, payload, headers=github_headers(event))
        page = await bob.post(f"{path}/action", data={"action": "forge", "do": "preview"})
        assert text in preview_of(page)


async def test_an_action_is_saved_with_its_template(bob, transaction, webhook, path) -> None:
    saved = await bob.post(f"{path}/action", data=TASK | {"do": "save"})
    assert (saved.status_code, saved.headers["location"]) == (303, path)
    changed = await load(transaction, webhook)
    assert changed.action is WebhookAction.TASK
    assert (changed.template or {})["title"] == TASK["title"]
    page = await bob.get(f"{path}/action")
    assert 'value="task" checked' in page.text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"title": ""}, "This action needs a template."),
        ({"title": "\n{{ a | shout }}"}, "“shout” is not a filter"),
        ({"description": "x\n{{ a"}, "Line 2: close the placeholder with }}."),
        ({"condition_path": "a b"}, "“a b” is not the path of a value."),
        ({"condition_operator": "like"}, "This is not a comparison."),
        ({"action": "delete"}, "Choose one of those that are offered."),
        ({"action": "message"}, "This action needs a template."),
        ({"custom_fields": "x: y"}, "This board has no custom field “x”."),
        ({"custom_fields": "size: L\nx"}, "Line 2: write each field once"),
        ({"title": "x" * 20_001}, "At most 20,000 characters."),
    ],
)
async def test_an_invalid_template_is_shown_with_its_error(
    bob, transaction, webhook, path, fields, text
) -> None:
    shown = await bob.post(f"{path}/action", data=TASK | fields)
    assert shown.status_code == 422
    assert text in html.unescape(shown.text)
    assert (await load(transaction, webhook)).template is None


async def test_two_edits_of_the_same_field_conflict(bob, transaction, webhook, path) -> None:
    page = (await bob.get(f"{path}/action")).text
    hashes = dict(re.findall(r'name="(shown\.[a-z_]+)" value="([^"]*)"', page))
    assert (await bob.post(f"{path}/action", data=TASK | hashes)).status_code == 303
    other = TASK | hashes | {"title": "Other", "priority": "low"}
    assert (await bob.post(f"{path}/action", data=other)).status_code == 409
    assert ((await load(transaction, webhook)).template or {})["title"] == TASK["title"]


async def test_only_those_who_may_change_the_board_choose_an_action(
    rita, charlie, anonymous, path
) -> None:
    assert f"{path}/action" not in (await rita.get(path)).text
    for send in (
        lambda client: client.get(f"{path}/action"),
        lambda client: client.post(f"{path}/action", data=TASK),
        lambda client: client.post(f"{path}/action", data=TASK | {"do": "preview"}),
    ):
        assert (await send(rita)).status_code == 403
        assert (await send(charlie)).status_code == 404
        assert (await send(anonymous)).status_code in (303, 401)


async def test_a_payload_that_failed_is_processed_again(bob, transaction, webhook, path) -> None:
    async with transaction() as session:
        hook = await session.get_one(BoardWebhook, webhook.id)
        hook.action, hook.template = WebhookAction.TASK, {"title": "{{ alert.name }}"}
    failed = {"state": PayloadState.FAILED, "error": "The title must not be blank."}
    stored = await add_payload(transaction, webhook, **failed)
    page = f"{path}/payloads/{stored.id}"
    assert "Process again" in (await bob.get(page)).text
    assert (await bob.post(f"{page}/messages", data={})).status_code == 303
    shown = (await bob.get(page)).text
    assert "Process again" not in shown
    assert re.search(r'href="/boards/[^"]+/tasks/[^"]+">Open the task', shown)
    assert (await bob.post(f"{page}/messages", data={})).status_code == 409
    assert await count_tasks(transaction) == 1


async def test_a_payload_that_fails_the_condition_is_not_sent_again(
    bob, transaction, webhook, path
) -> None:
    template = {"message": "Look.", "condition_path": "alert.level", "condition_value": "low"}
    form = TASK | {"do": "save", "action": "message"} | template
    assert (await bob.post(f"{path}/action", data=form)).status_code == 303
    payload = await add_payload(transaction, webhook)

    refused = await bob.post(f"{path}/payloads/{payload.id}/messages", data={})

    assert refused.status_code == 409
    assert "The condition of the template is not met." in refused.text
    async with transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Message)) == 0


async def test_pages_say_in_each_language_that_an_author_was_unsigned(
    bob, transaction, world
) -> None:
    webhook = make_webhook(world.board, "Code", action=WebhookAction.FORGE, allows_unsigned=True)
    async with transaction() as session:
        session.add(webhook)
    for action in ("opened", "closed"):
        headers = github_headers("issues") | {"x-github-delivery": action}
        body = json.dumps(payloads.github_issue(action)).encode()
        async with transaction() as session:
            request = WebhookRequest(headers, body, "192.0.2.7")
            await board_webhooks.receive_request(session, webhook, request, base_url="")
    async with transaction() as session:
        task_id = await session.scalar(select(Task.id))
    for language, name in (("en", "Code (unsigned)"), ("de", "Code (ohne Signatur)")):
        for address in (f"/boards/{world.board.id}/tasks/{task_id}", "/activity"):
            page = (await bob.get(f"{address}?lang={language}")).text
            assert page.count("(unsigned)" if language == "de" else "(ohne") == 0
            assert page.count(name) >= 2  # a comment, and an event


async def test_an_ignored_payload_shows_its_reason(bob, transaction, webhook, path) -> None:
    ignored = {"state": PayloadState.IGNORED, "error": "no_task"}
    stored = await add_payload(transaction, webhook, **ignored)
    assert "Ignored" in (await bob.get(path)).text
    page = (await bob.get(f"{path}/payloads/{stored.id}")).text
    assert "It belongs to no task of this board." in page
