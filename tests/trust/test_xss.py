"""No text of a corpus becomes markup on any page, whatever field it is in (16)."""

import json
import re
from collections.abc import Mapping, Sequence, Set
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.db.engine import TransactionFactory
from tests.conftest import rolled_back_changes
from tests.support import text_columns
from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.marked_texts import MARK
from tests.support.page_routes import build_address, list_page_addresses
from tests.support.tiers import IS_COMPLETE_RUN
from tests.web.conftest import SESSION_KEY

CORPUS = [json.loads(line) for line in Path(__file__).with_name("xss.txt").read_text().splitlines()]
GROUPS = ["\n\n".join(CORPUS[start::2]) for start in range(2)]
"""The texts in groups: a page is safe with many texts in a field if it is safe with each.

Each group has tags, ends of attributes and Markdown.
"""
ADDRESSES = [text for text in CORPUS if re.match(r"\W*[a-z\s]+script:|data:|//", text, re.I)]
"""Texts that are dangerous at the beginning of an address, so they are not put into groups."""
STORED_GROUPS = GROUPS if IS_COMPLETE_RUN else GROUPS[:1]
STORED_ADDRESSES = ADDRESSES if IS_COMPLETE_RUN else ["javascript:alert(1)", "//evil.example/x"]
SENT_AGAIN = [CORPUS[1], GROUPS[0], *([CORPUS[17], GROUPS[1]] if IS_COMPLETE_RUN else [])]
UNMARKED = """
activity_events.type agent_file_versions.author agent_file_versions.digest
agent_file_versions.name agent_messages.key agent_messages.state agent_messages.delivery_events
agent_runs.run_id agent_runs.session_key agent_runs.status agent_tokens.prefix
agents.desired_state agents.heartbeat_config agents.openclaw_session_id agents.status agents.step
agents.provisioning_state alembic_version.version_num api_tokens.scope approvals.completion_error
approvals.decided_status approvals.lapsed_status approvals.risk approvals.status
approvals.undone_status audit_records.credential audit_records.credential_id
audit_records.object_id board_onboarding_messages.role client_connections.client
coding_sessions.client coding_sessions.state tool_calls.answer encryption_keys.fingerprint
public_addresses.base_url write_checks.content board_onboarding_sessions.session_key
board_onboarding_sessions.status board_webhook_payloads.state board_webhooks.action
board_webhooks.last_rejection boards.board_type bulk_task_changes.tasks gateway_config_changes.kind
gateway_departures.agent_keys gateway_departures.ca_certificates gateway_departures.last_error
gateway_departures.url gateway_leftovers.agent_key gateway_installed_skills.action
gateway_leftovers.last_error gateway_requests.agent_key gateway_requests.allowed_decisions
gateway_requests.kind gateway_requests.request_id gateway_requests.run_id gateway_requests.state
notification_preferences.kind notification_settings.digest notifications.key notifications.kind
gateways.ca_certificates gateways.capabilities gateways.checks gateways.lease_holder gateways.url
idempotency_keys.fingerprint idempotency_keys.key notification_channels.kind
notification_deliveries.state organization_invites.role organization_members.role
pending_sign_ins.code_verifier pending_sign_ins.email pending_sign_ins.issuer
pending_sign_ins.next pending_sign_ins.nonce pending_sign_ins.subject read_markers.kind
soul_directories.address soul_directories.edition souls.handle souls.slug tags.color
task_links.checks_state task_links.kind task_links.state task_custom_field_definitions.field_type
task_custom_field_definitions.ui_visibility tasks.claimed_run tasks.priority tasks.status
webhook_deliveries.outcome
webhook_deliveries.state webhook_endpoints.board_ids webhook_endpoints.event_types
webhook_endpoints.state user_questions.correlation_id users.clerk_user_id users.language
users.timezone
"""
"""Columns that contain keys, states and results of checks, or that no page shows."""
BEGIN_OF_ADDRESS = re.compile(rf"""\b(href|src|action|formaction|content)=["']?{MARK}""")
MIN_PAGES = 50
PARAMETERS = ("q", "next", "board", "state", "view", "column", "object", "actor", "action")
GENERATED = {
    *(("a", name) for name in ("href", "title", "rel")),
    *(("span", "class"), ("p", "class"), ("ol", "start")),
    *((tag, "") for tag in ("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote")),
    *((tag, "") for tag in ("ul", "ol", "li", "a", "span", "table", "thead", "tbody", "tr")),
    *(("th", ""), ("td", ""), ("mark", ""), ("mark", "class"), ("mark", "title")),
}
"""What Markdown and hidden characters become: see web/ui/text_display.py."""
FORMS = {
    "/sign-in": ("email", "next"),
    "/boards": ("name", "description"),
    "/boards/{board_id}/settings": ("name", "description", "objective", "max_agents"),
    "/boards/{board_id}/tasks": ("title", "description", "due_at", "priority"),
    "/boards/{board_id}/views": ("name", "query"),
    "/boards/{board_id}/chat": ("content", "once"),
    "/agents": ("name", "board_id", "emoji"),
    "/agents/{agent_id}/settings": ("name", "emoji", "role"),
    "/gateways": ("name", "url", "workspace_root"),
    "/gateways/{gateway_id}/edit": ("name", "url", "workspace_root"),
    "/people/invites": ("invited_email", "role", "access"),
    "/people/{member_id}/roles": ("role",),
    "/people/deletions": ("organization_name",),
    "/organization/about": ("name",),
    "/settings/account": ("confirmation",),
    "/settings/profile": ("name", "preferred_name", "pronouns", "timezone"),
    "/settings/tokens": ("name", "days"),
    "/settings/channels/new/{kind}": ("name", "address", "url"),
    "/settings/channels/{channel_id}/names": ("name",),
    "/webhooks": ("url", "description", "event_types"),
    "/webhooks/{endpoint_id}/edit": ("url", "description", "event_types"),
    "/webhooks/{endpoint_id}/replays": ("since", "until"),
    "/settings/policy/rules": ("name", "kinds", "time_zone", "starts_at"),
    "/approvals/answers": ("shown", "status"),
    "/approvals/{approval_id}/answers": ("status", "note"),
}
"""Forms with fields that are shown again after an error."""
START_TAG = re.compile(
    r"""<[a-z](?:"[^"]*"|'[^']*'|[^"'>])*>|<[a-z].*""", re.IGNORECASE | re.DOTALL
)
"""Matches a tag, or the rest of a page after a quotation mark that is not closed."""
LINKS = {"href", "src", "action", "formaction", "poster", "data", "srcset", "xlink:href"}
INTERNAL = re.compile(r"(/(?!/)|[?#]|$)")
EXTERNAL = re.compile(r"(https?://|mailto:)")
IGNORED_CHARACTERS = re.compile(r"[\x00-\x20\x7f-\x9f\u200b-\u200f\u2028-\u202e]")


class MarkupReader(HTMLParser):
    """Collects elements with their attributes, and what is not allowed on any page."""

    def __init__(self) -> None:
        super().__init__()
        self.markup: set[tuple[str, str]] = set()
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.markup |= {(tag, "")} | {(tag, name) for name, _ in attrs}
        values = dict(attrs)
        if tag == "script" and not (values.get("src") or "").startswith("/static/"):
            self.problems.append(f"script {attrs}")
        self.problems += [
            f"{tag} {name}={value}" for name, value in attrs if not is_allowed(tag, name, value)
        ]


def is_allowed(tag: str, name: str, value: str | None) -> bool:
    """Return whether an attribute can neither run a script nor load from another site."""
    if name.startswith(("on", "hx-on", "hx-vars")) or name in ("style", "srcdoc"):
        return False
    if name not in LINKS and name != "data-live":
        return not (name.startswith("hx-") and "js:" in (value or "").lower())
    address = IGNORED_CHARACTERS.sub("", value or "").lower()
    if tag == "a":
        return not re.match(r"[a-z]+:", address) or bool(EXTERNAL.match(address))
    return bool(INTERNAL.match(address))


def read_markup(body: str) -> MarkupReader:
    """Read each different tag once: pages have thousands of tags, most of them the same ones."""
    found = MarkupReader()
    for tag in {*START_TAG.findall(body)}:
        reader = read_tag(tag)
        found.markup |= reader.markup
        found.problems += reader.problems
    return found


@cache
def read_tag(tag: str) -> MarkupReader:
    reader = MarkupReader()
    reader.feed(tag)
    reader.close()
    return reader


def answer_with(fake_gateway: FakeAgentsGateway, text: str) -> None:
    """Let the gateway send this text wherever it sends texts."""
    call = {"type": "toolCall", "id": "1", "name": text, "arguments": {text: text}}
    messages = [
        {"role": "user", "content": text},
        {"role": "assistant", "content": [{"type": "text", "text": text}, call]},
        {"role": "toolResult", "toolCallId": "1", "content": text, "isError": True},
        {"role": "custom", "content": text},
        {"role": "assistant", "content": [], "stopReason": "error", "errorMessage": text},
    ]
    fake_gateway.handlers["chat.history"] = lambda _: {"messages": messages}
    fake_gateway.sessions[SESSION_KEY] |= {"label": text, "status": text}
    fake_gateway.entries["writer"] = {"name": text, "workspace": text}
    fake_gateway.files["mc-1"] = {"SOUL.md": text, "AGENTS.md": text}


async def read_pages(browser: httpx2.AsyncClient, addresses: Sequence[str]) -> Mapping[str, str]:
    """Return all pages by address."""
    found = {}
    for address in addresses:
        response = await browser.get(address)
        assert response.status_code < 400, (address, response.status_code)
        found[address] = response.text
    return found


def check_page(address: str, body: str, known: Set[tuple[str, str]], text: str) -> None:
    """Check that a page has only known elements and attributes, and no dangerous address."""
    reader = read_markup(body)
    assert not reader.problems, (address, text, reader.problems)
    unknown = {pair for pair in reader.markup - known if not pair[1].startswith("aria-")}
    assert not unknown, (address, text, unknown)


def test_the_corpus_has_at_least_60_texts() -> None:
    assert len(CORPUS) == len(set(CORPUS)) >= 60


@pytest.mark.parametrize("text", CORPUS[:60:3])
def test_markup_that_is_not_escaped_is_found(text: str) -> None:
    reader = read_markup(f'<p title="{text}">{text}</p>')
    assert reader.problems or reader.markup - {("p", ""), ("p", "title")} or "<" not in text


async def test_no_stored_text_becomes_markup_on_any_page(
    page_ids: Mapping[str, Sequence[Any]],
    alice: httpx2.AsyncClient,
    fake_gateway: FakeAgentsGateway,
    transaction: TransactionFactory,
) -> None:
    answer_with(fake_gateway, MARK)
    harmless = await read_pages(alice, list_page_addresses(page_ids))
    known = GENERATED.union(*(read_markup(body).markup for body in harmless.values()))
    marked = [address for address, body in harmless.items() if MARK in body]
    assert len(marked) > MIN_PAGES
    with_links = [address for address in marked if BEGIN_OF_ADDRESS.search(harmless[address])]
    assert with_links
    rounds = [(text, marked) for text in STORED_GROUPS]
    rounds += [(text, with_links) for text in STORED_ADDRESSES]
    for text, addresses in rounds:
        answer_with(fake_gateway, text)
        async with transaction() as session:
            change = await session.begin_nested()
            columns = await text_columns.list_marked_columns(session)
            await text_columns.replace_mark(session, columns, text)
            for address, body in (await read_pages(alice, addresses)).items():
                check_page(address, body, known, text)
            await change.rollback()


async def test_the_marker_is_in_every_text_that_others_write(
    page_ids: Mapping[str, Sequence[Any]], transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        columns = await text_columns.list_marked_columns(session)
        texts = await text_columns.list_text_columns(session)
    unmarked = {f"{column.table}.{column.name}" for column in {*texts} - {*columns}}
    assert unmarked == set(UNMARKED.split())


async def test_no_parameter_of_an_address_becomes_markup(
    page_ids: Mapping[str, Sequence[Any]], alice: httpx2.AsyncClient
) -> None:
    addresses = [one for one in list_page_addresses(page_ids) if one.count("/") <= 2]
    harmless = await read_pages(alice, addresses)
    known = GENERATED.union(*(read_markup(body).markup for body in harmless.values()))
    values = dict.fromkeys(PARAMETERS, "\n".join(CORPUS[:20]))
    for path in {address.partition("?")[0] for address in addresses}:
        page = await alice.get(path, params=values)
        check_page(path, page.text, known, "")


async def test_no_value_of_a_form_becomes_markup_when_it_is_shown_again(
    subtests: pytest.Subtests,
    page_ids: Mapping[str, Sequence[Any]],
    alice: httpx2.AsyncClient,
    transaction: TransactionFactory,
) -> None:
    for path, fields in FORMS.items():
        address = build_address(path, {name: values[0] for name, values in page_ids.items()})
        with subtests.test(path):
            for text in SENT_AGAIN:
                async with rolled_back_changes(transaction):
                    page = await alice.post(address, data=dict.fromkeys(fields, text))
                reader = read_markup(page.text)
                assert page.status_code < 500
                assert not reader.problems, (path, text, reader.problems)
                assert text not in page.text
