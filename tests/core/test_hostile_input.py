"""Parsers of foreign text take at most a second for hostile input of the maximum size."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pydantic_core
import pytest
import re2
from starlette.requests import Request

from api.framework.errors import read_known_versions
from api.framework.request_parser import find_unstorable_value
from core.canonical_json import hash_json
from core.clock import parse_duration
from core.db.full_text import highlight_matches, split_words
from core.errors import Forbidden, Invalid
from core.http.client_address import get_client_ip
from core.http.middleware import VALID_ID
from core.http.request import get_last_event_id
from core.security.openid_tokens import looks_like_jwt
from core.security.secrets import hide_tokens, mask_tokens, mask_tokens_within
from core.text import is_email, is_storable_json, slugify
from models import Approval, Board, FieldType, Message, RequestKind
from openclaw import GatewayError
from openclaw.addresses import parse_address
from openclaw.errors import parse_error
from openclaw.frames import decode_frame
from services.approvals import MAX_PENDING, ApprovalDetail
from services.approvals.requests import MENTIONABLE
from services.approvals.rules import MAX_JSON_LENGTH
from services.board_webhooks import WebhookRequest
from services.board_webhooks.queries import format_payload
from services.board_webhooks.requests import decode_body, verify_signature
from services.boards.commands import board_slug
from services.custom_fields.rules import compile_regex, find_value_error
from services.gateways.commands import TOKEN_CONFIG_LINE
from services.gateways.files import sanitizer
from services.gateways.files.merge_plan import find_token, plan_files
from services.gateways.linked_agents import MANAGED_AGENT_ID
from services.gateways.requests.parser import MAX_VALUES, parse_request
from services.gateways.sessions import agent_id_of_session_key
from services.messages.gateway_turns import TRANSIENT_CODE
from services.messages.mentions import extract_mentions
from services.messages.templates.text_format import fence_text, to_single_line
from services.onboarding.transcript import is_free_text, normalize_output
from services.souls.directory_client import is_valid_name
from services.souls.store import extract_summary
from tests.support.cpu_time import MAX_CPU_SECONDS, measure_cpu
from tests.support.tiers import IS_COMPLETE_RUN, repetition
from web.agents import messages as agent_messages
from web.approvals.payload import parse_payload
from web.auth.sign_in import safe_next_path
from web.gateways.session_presenter import parse_transcript
from web.onboarding.presenter import find_heading, parse_draft_date
from web.settings import describe_browser, is_phone
from web.ui.avatars import initials
from web.ui.forms import MAX_FIELDS
from web.ui.markdown import render_markdown
from web.ui.text_display import reveal
from web.ui.unified_diff import parse_diff

TEXT, HEADER = 100_000, 64 * 1024  # characters of a text, and of all headers of a request
SHORTER = 8  # so many times shorter are the texts that are tried first

UNITS = (
    *('\n', '\r', '\r\n', '\u2028', '\t'),
    *(" ", '\x00', '\u200b', "é", "e\u0301", "😀"),
    *("-", "--", '--\n', "-- ", '--\n\n', "--- BEGIN"),
    *("- ", '\n\n- ', "1", "1.", "1m", "1.1", "9d"),
    *("`", "``` ", '```\n', "```a", '```a\n```', "`a"),
    *('~~~\n', "{", "[", "{}", "[{", '{"a":', "}{"),
    *("[a](", "[[", "![", "](", "](a", "<", "<a "),
    *("<!--", "&", "&amp", "*a ", "**a", "_a_", "a_", "~~"),
    *(">", "> > ", "|", "|a", "|-", 'a|\n', '|-|\n', 'a\n=\n'),
    *("(\n> ~~~\n", "a\n> ```\n", "**_*", "![](=", "~~](![", "[a](<b"),
    *("#", "\\", "\\`", '"', "'", '"a', "(", ")"),
    *("@", "@a", "@a-", "a@", "http://", "https://a"),
    *("https://a.", "http://a)", "a.", "a,", "a;", "a="),
    *("a", "aA", "Aa", "A a", "a ", "_-."),
    *("-_", "0", "f", "other ", "i will ", "Android", "how often"),
    *("mc_agent_", "mc_a_", "ey", "ey.", "AUTH_TOKEN="),
    *('AUTH_TOKEN=\n', 'token: "', "token:'a'", "W/", 'W/"'),
    *('@@ -1 +1 @@\n', "@@ -1,", "+", '--- a\n', '+++\n', "task word"),
    *("agent:", "::", ",", "=,", "for=", "for=["),
)  # fmt: skip


def build_request(header: str, value: str, query: str = "") -> Request:
    headers = [(header.lower().encode(), value.encode("latin-1", errors="replace"))]
    where = {"client": ("192.0.2.1", 1), "query_string": query.encode("latin-1", "replace")}
    return Request({"type": "http", "headers": headers, **where})


def parse_json_body(text: str) -> object:
    with suppress(ValueError):
        return find_unstorable_value(pydantic_core.from_json(text))
    return mask_tokens_within({text: [text, text]})


def excerpt_message(text: str) -> object:
    return agent_messages._build_excerpt(Message(kind="BOARD CHAT", content=text))


def check_field_values(text: str) -> object:
    return [find_value_error(type, None, text) for type in FieldType]


def read_last_event_id(text: str) -> object:
    with suppress(Invalid):
        return get_last_event_id(build_request("Last-Event-ID", text))
    return None


def parse_form(text: str) -> object:
    with suppress(ValueError):
        return parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    return None


def compile_hostile_regex(text: str) -> object:
    with suppress(re2.error):
        return compile_regex(text)
    return None


def decode_gateway_frame(text: str) -> object:
    with suppress(GatewayError):
        asyncio.run(decode_frame(text))
    with suppress(GatewayError):
        return asyncio.run(
            decode_frame(json.dumps({"type": "event", "event": "chat", "payload": text}))
        )
    return None


def parse_gateway_error(text: str) -> object:
    return parse_error({"code": text, "message": text, "details": {"code": text}})


def parse_gateway_address(text: str) -> object:
    with suppress(GatewayError):
        return parse_address(text)
    return None


def parse_gateway_request(text: str) -> object:
    row = {"id": "1", "request": {"command": text, "cwd": text, "sessionKey": text}}
    return parse_request(RequestKind.EXEC, row)


def show_transcript(text: str) -> object:
    content = [{"type": "text", "text": text}, {"type": "toolCall", "id": "1", "arguments": text}]
    return parse_transcript([{"role": "assistant", "content": content}])


def plan_shared_file(text: str) -> object:
    return plan_files({"AGENTS.md": "ours"}, {"AGENTS.md": text}, {})


def show_payload(text: str) -> object:
    approval = Approval(
        action_type=text, payload={"diff": text, text[:200]: text}, rubric_scores={text: 1}
    )
    return parse_payload(ApprovalDetail(approval, Board(), None, None, None, None, []))


def verify_webhook(text: str) -> object:
    """Verify a request whose headers are all hostile."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature", "x-hub-signature-256")
    for header in (None, "x-hub-signature-256", "webhook-signature"):
        with suppress(Forbidden):
            verify_signature(
                dict.fromkeys(names, text),
                text.encode(),
                ["whsec_AAAA"],
                signature_header=header,
                at=datetime.now(UTC),
            )
    request = WebhookRequest(dict.fromkeys(names, text), b"", "")
    return request.delivery_id, request.stored_headers


PARSERS: dict[str, tuple[Callable[[str], Any], int]] = {
    "fence_text": (fence_text, TEXT),
    "to_single_line": (to_single_line, TEXT),
    "extract_mentions": (extract_mentions, TEXT),
    "parse_duration": (parse_duration, 5_000_000),
    "slugify": (lambda text: slugify(text, max_length=200), TEXT),
    "board_slug": (board_slug, TEXT),
    "mask_tokens": (mask_tokens, TEXT),
    "looks_like_jwt": (looks_like_jwt, HEADER),
    "read_known_versions": (
        lambda text: read_known_versions(build_request("If-Match", text)),
        HEADER,
    ),
    "get_client_ip": (lambda text: get_client_ip(build_request("Forwarded", text), ()), HEADER),
    "is_phone": (is_phone, HEADER),
    "describe_browser": (describe_browser, HEADER),
    "message_excerpt": (excerpt_message, TEXT),
    "field_value": (check_field_values, TEXT),
    "last_event_id": (read_last_event_id, HEADER),
    "read_form": (parse_form, 2_000_000),
    "draft_date": (lambda text: parse_draft_date(text, UTC), TEXT),
    "soul_name": (is_valid_name, TEXT),
    "transient_code": (TRANSIENT_CODE.search, TEXT),
    "managed_agent_id": (MANAGED_AGENT_ID.fullmatch, TEXT),
    "request_id": (VALID_ID.fullmatch, HEADER),
    "highlight_matches": (lambda text: highlight_matches(text, ["word", "wor", "a"]), TEXT),
    "split_words": (split_words, TEXT),
    "parse_output": (normalize_output, TEXT),
    "is_free_text": (is_free_text, TEXT),
    "find_heading": (find_heading, TEXT),
    "to_line": (sanitizer.to_line, TEXT),
    "to_fenced_block": (lambda text: sanitizer.to_fenced_block(text, 2_000), TEXT),
    "find_token": (find_token, 1_000_000),
    "hide_tokens": (hide_tokens, 200_000),
    "plan_files": (plan_shared_file, 200_000),
    "token_config_line": (TOKEN_CONFIG_LINE.fullmatch, 2_000_000),
    "agent_id_of_session_key": (agent_id_of_session_key, 1_000_000),
    "parse_request": (parse_gateway_request, 1_000_000),
    "parse_session_transcript": (show_transcript, 1_000_000),
    "parse_gateway_error": (parse_gateway_error, 1_000_000),
    "decode_frame": (decode_gateway_frame, 1_000_000),
    "parse_address": (parse_gateway_address, 2_000_000),
    "extract_summary": (lambda text: extract_summary(text, "slug"), 1_000_000),
    "parse_json_body": (parse_json_body, 2_000_000),
    "parse_cookies": (lambda text: build_request("Cookie", text).cookies, HEADER),
    "parse_query": (lambda text: build_request("Host", "a", text).query_params, HEADER),
    "next_path": (safe_next_path, HEADER),
    "is_email": (is_email, 2_000_000),
    "compile_regex": (compile_hostile_regex, 1_000),
    "match_regex": (lambda text: compile_regex(r"^(a|b|ab)*c\s*$").search(text), TEXT),
    "mentionable": (MENTIONABLE.fullmatch, TEXT),
    "approval_payload": (show_payload, 256 * 1024),
    "webhook_headers": (verify_webhook, HEADER),
    "webhook_body": (lambda text: format_payload(decode_body(text.encode(), None), 4_000), 2**20),
    "initials": (initials, TEXT),
    "parse_diff": (lambda text: parse_diff(text, "Changes"), 256 * 1024),
    "render_markdown": (render_markdown, TEXT),
    "render_short_markdown": (render_markdown, 20_000),
    "reveal": (reveal, 256 * 1024),
}  # fmt: skip


def list_hostile_texts(size: int) -> Iterator[str]:
    """Each unit repeated, with an end that no pattern expects; and deep nesting."""
    yield from (f"{unit * (size // len(unit) - 1)}\n!x" for unit in UNITS)
    yield from (one * (size // 2) + two * (size // 2) for one, two in ("[]", "{}"))


def measure(parse: Callable[[str], Any], text: str) -> float:
    """Return the CPU time of a call, in seconds."""
    with measure_cpu() as measured:
        parse(text)
    return measured.seconds


@pytest.mark.parametrize(
    "name",
    [one for one in PARSERS if one != "render_short_markdown"]
    + [pytest.param("render_short_markdown", marks=repetition)],  # the same parser
)
def test_hostile_text_takes_at_most_a_second(name: str) -> None:
    """What takes a second for a text takes a 64th for an eighth of it, if it grows with its square.

    So only a complete run tries all texts in their maximum size.
    """
    parse, size = PARSERS[name]
    slow = {}
    pairs = zip(list_hostile_texts(size // SHORTER), list_hostile_texts(size), strict=True)
    for short, text in pairs:
        if IS_COMPLETE_RUN or measure(parse, short) * SHORTER**2 > MAX_CPU_SECONDS:
            seconds = measure(parse, text)
            if seconds > MAX_CPU_SECONDS:
                slow[text[:12]] = round(seconds, 1)
    assert not slow


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_draft_date_at_the_end_of_time_is_no_error(text: str) -> None:
    assert parse_draft_date(text, UTC) is None


@pytest.mark.parametrize(
    "values", [[1] * 60_000, [0.5] * 50_000, [{"b": 1}] * 18_000], ids=["int", "float", "object"]
)
def test_a_page_of_large_approvals_is_hashed_in_two_seconds(values: list[Any]) -> None:
    with measure_cpu() as measured:
        for _ in range(MAX_PENDING):
            hash_json({"values": values})
    assert measured.seconds < 2 * MAX_CPU_SECONDS


def test_a_number_counts_with_all_its_digits() -> None:
    limit = MAX_JSON_LENGTH
    assert is_storable_json({"values": [0.5] * 50_000}, max_length=limit)
    assert not is_storable_json({"values": [5e-324] * 25_000}, max_length=limit)
    assert not is_storable_json({"values": [{"a": 1e300}] * 10_000}, max_length=limit)
    nested: Any = [""] * 60_000
    for _ in range(500):
        nested = [nested]
    with measure_cpu() as measured:
        assert is_storable_json({"values": nested}, max_length=limit)
    assert measured.seconds < MAX_CPU_SECONDS


@pytest.mark.parametrize(
    "request_",
    [
        {"later": {f"k{n}": n for n in range(1_000_000)}},
        {"later": [[[]] * 100_000] * 5},
        {"later": "x" * 20_000_000},
        {"later": ["\u202e" * 20] * (MAX_VALUES - 10)},
        {f"mc_agent_{n:04}": [0.1] for n in range(MAX_VALUES // 2 - 10)},
    ],
    ids=["keys", "lists", "text", "hidden characters", "tokens"],
)
def test_a_hostile_approval_of_a_gateway_is_parsed_in_a_second(request_: dict[str, Any]) -> None:
    row = {"id": "1", "createdAtMs": 1, "expiresAtMs": 2}
    with measure_cpu() as measured:
        parse_request(RequestKind.EXEC, row | {"request": {"command": "ls"} | request_})
    assert measured.seconds < MAX_CPU_SECONDS
