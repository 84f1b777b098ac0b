"""Texts of errors on pages, by their codes."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from core import errors
from core.errors import AppError, Conflict, Invalid, NotFound, TooMany, Unavailable
from web.ui.error_texts import ERROR_TEXTS, describe_error
from web.ui.translation import PSEUDO, reader_language

ROOT = Path(__file__).parents[2]
ERRORS = {name for name, one in vars(errors).items() if isinstance(one, type)}
PLACEHOLDER = re.compile(r"%\((\w+)\)")

CODES_ONLY_IN_API = """
account_not_found agent_status_forbidden approval_status_forbidden
approval_status_invalid assignee_is_lead audit_record_not_found board_group_read_forbidden
board_group_required board_group_slug_taken board_group_write_forbidden boolean_required
date_required field_key_fixed gateway_agent_claims_no_tasks gateway_main_required gateway_main_stays
id_required idempotency_answer_lost idempotency_key_in_use idempotency_key_reused invalid_event_id
lead_comment_forbidden lead_comment_in_update lead_move_forbidden lead_required lead_stays
list_required max_agents_reached memory_author_required memory_not_found object_required
agent_paused only_lead_can_change_status pause_of_person reason_required soul_read_forbidden
status_invalid tag_of_policy tags_invalid task_already_claimed
task_assignee_mismatch task_board_mismatch task_update_field_forbidden text_required token_ended
token_expired too_many_tasks unknown_custom_fields unknown_priority unknown_status
template_field_unknown user_question_not_open user_reply_forbidden webhook_action_invalid
webhook_queue_full
webhook_signature_invalid workers_may_not_ask too_many_questions
choice_repeated kind_not_configurable kind_without_board
skill_files_not_found webhook_signature_missing webhook_timestamp_invalid
"""
"""Errors that no page can cause; their messages are only for programs and agents."""

ONLY_IN_API = frozenset(CODES_ONLY_IN_API.split())


def find_errors() -> Iterator[tuple[str, set[str]]]:
    """Return the code and the names of the details of each error that is created below web/."""
    for package in ("core", "models", "openclaw", "services"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS:
                    yield from read_error(node)


def read_error(call: ast.Call) -> Iterator[tuple[str, set[str]]]:
    keywords = {one.arg or "**": one.value for one in call.keywords}
    candidates = [keywords.get("code"), *call.args]
    texts = [one.value for one in candidates if isinstance(one, ast.Constant)]
    codes = [text for text in texts if re.fullmatch(r"[a-z_]+", str(text))]
    yield from ((str(code), set(keywords)) for code in codes)


@pytest.fixture(scope="module")
def details_by_code() -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for code, details in find_errors():
        found[code] |= details
    assert len(found) > 150
    return found


def test_every_error_that_a_page_can_meet_has_a_text(
    details_by_code: Mapping[str, set[str]],
) -> None:
    codes = {key.partition(":")[0] for key in ERROR_TEXTS}
    assert sorted(details_by_code.keys() - codes - ONLY_IN_API) == []
    assert sorted(codes & ONLY_IN_API) == []
    assert sorted(ONLY_IN_API - details_by_code.keys()) == []


def test_the_texts_need_only_values_that_the_errors_have(
    details_by_code: Mapping[str, set[str]],
) -> None:
    for key, text in ERROR_TEXTS.items():
        known = {"retry_after", *details_by_code[key.partition(":")[0]]}
        assert "**" in known or known >= set(PLACEHOLDER.findall(text)), key


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Invalid("blank", "Name must not be blank.", field="name"), "Fill this in."),
        (
            Invalid("too_long", "…", field="name", length=100_001, max_length=100_000),
            "This is too long: 100,001 characters, 100,000 at most.",
        ),
        (TooMany(retry_after=7), "Too many requests. Try again in 7 s."),
        (Unavailable(), "The database does not answer. Try again soon."),
        (
            Unavailable("…", cause="pool_busy"),
            "The server has too much to do at the moment. Try again soon.",
        ),
        (NotFound("invite_not_found", "…", cause="used"), "This invitation was used."),
        (
            NotFound("invite_not_found", "…", cause="unknown"),
            "This invitation was withdrawn or replaced, or a part of its link is missing.",
        ),
        (Invalid("goal_incomplete", "…", field="objective"), "A goal needs an objective."),
        (
            Conflict("already_decided", "…", by="Bob", status="approved"),
            "Bob has approved this already.",
        ),
        (
            Conflict("custom_fields_required", "…", missing_field_keys=["cost", "due"]),
            "On this board every task needs values for these fields: cost, due.",
        ),
        (Conflict("of_another_version", "As the server said."), "As the server said."),
    ],
)
def test_an_error_is_described_by_its_code_and_its_values(error: AppError, text: str) -> None:
    assert describe_error(error) == text


def test_the_text_is_in_the_language_of_the_reader() -> None:
    token = reader_language.set(PSEUDO)
    try:
        assert describe_error(Invalid("blank", "…")).startswith("Fîłł ťhîš")
    finally:
        reader_language.reset(token)
