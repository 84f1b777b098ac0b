"""Texts of errors on pages: they are marked where the errors are raised."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

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
date_required field_invalid field_key_fixed gateway_agent_claims_no_tasks
gateway_main_required gateway_main_stays
id_required idempotency_answer_lost idempotency_key_in_use idempotency_key_reused invalid_event_id
lead_comment_forbidden lead_comment_in_update lead_move_forbidden lead_required lead_stays
max_agents_reached memory_author_required memory_not_found object_required
agent_paused only_lead_can_change_status pause_of_person reason_required soul_read_forbidden
status_invalid tag_of_policy task_already_claimed
task_assignee_mismatch task_board_mismatch task_update_field_forbidden text_required token_ended
token_expired too_many_tasks unknown_custom_fields unknown_priority
template_field_unknown user_question_not_open user_reply_forbidden
webhook_queue_full
webhook_signature_invalid workers_may_not_ask too_many_questions
choice_repeated kind_not_configurable kind_without_board
skill_files_not_found webhook_signature_missing webhook_timestamp_invalid
"""
"""Errors that no page can cause; their messages are only for programs and agents."""

ONLY_IN_API = frozenset(CODES_ONLY_IN_API.split())

TEXT_OF_CAUSE = {"url_invalid"}
"""Errors with the text of the error that caused them, which is marked in openclaw/addresses.py."""


class RaisedError(NamedTuple):
    """A place that creates an error below web/."""

    place: str
    code: str
    details: set[str]
    texts: list[ast.expr]  # what the text can be; without any it is not known here


def find_errors() -> Iterator[RaisedError]:
    for package in ("core", "models", "openclaw", "services"):
        for file in (ROOT / package).rglob("*.py"):
            tree = ast.parse(file.read_text())
            values = defaultdict(list)
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    values[node.targets[0].id].append(node.value)
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS:
                    yield from read_error(node, values, f"{file.relative_to(ROOT)}:{node.lineno}")


def read_error(
    call: ast.Call, values: Mapping[str, list[ast.expr]], place: str
) -> Iterator[RaisedError]:
    keywords = {one.arg or "**": one.value for one in call.keywords}
    of_code = [keywords.get("code"), *call.args]
    codes = [one for one in of_code if isinstance(one, ast.Constant)]
    codes = [one for one in codes if re.fullmatch(r"[a-z_]+", str(one.value))]
    texts: list[ast.expr] = []
    for argument in call.args:
        if isinstance(argument, ast.Name):
            texts += values.get(argument.id, [])
        elif argument not in codes and isinstance(argument, ast.Constant | ast.Call):
            texts.append(argument)
    for code in codes:
        yield RaisedError(place, str(code.value), set(keywords), texts)


def read_marked_text(node: ast.expr) -> str | None:
    """Return the text of `N_("text")`."""
    if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "N_":
        return None
    [text] = node.args
    assert isinstance(text, ast.Constant)
    return str(text.value)


@pytest.fixture(scope="module")
def raised() -> list[RaisedError]:
    found = list(find_errors())
    assert len(found) > 250
    return found


def test_every_error_that_a_page_can_meet_has_a_text(raised: list[RaisedError]) -> None:
    in_table = {key.partition(":")[0] for key in ERROR_TEXTS}
    unmarked = [
        (one.place, one.code)
        for one in raised
        if one.code not in ONLY_IN_API | in_table | TEXT_OF_CAUSE
        and not any(read_marked_text(text) for text in one.texts)
    ]
    assert unmarked == []
    assert sorted(in_table & ONLY_IN_API) == []
    assert sorted(ONLY_IN_API - {one.code for one in raised}) == []


def test_the_texts_need_only_values_that_the_errors_have(raised: list[RaisedError]) -> None:
    details = defaultdict(set)
    for one in raised:
        details[one.code] |= one.details
        for text in filter(None, map(read_marked_text, one.texts)):
            if len(one.texts) == 1 and "**" not in one.details:
                assert one.details >= set(PLACEHOLDER.findall(text)), one.place
    for key, text in ERROR_TEXTS.items():
        known = details[key.partition(":")[0]]
        assert "**" in known or known >= set(PLACEHOLDER.findall(text)), key


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Invalid("blank", "Fill this in.", field="name"), "Fill this in."),
        (
            Invalid(
                "too_long", "%(length)s, %(max_length)s at most.", length=10_001, max_length=99
            ),
            "10,001, 99 at most.",
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
        (
            Conflict("already_decided", "%(by)s has approved this already.", by="Bob"),
            "Bob has approved this already.",
        ),
        (
            Conflict("custom_fields_required", "Fill in %(keys)s.", keys=["cost", "due"]),
            "Fill in cost, due.",
        ),
        (Conflict("of_another_version", "As the server said."), "As the server said."),
    ],
)
def test_an_error_is_described_by_its_code_and_its_values(error: AppError, text: str) -> None:
    assert describe_error(error) == text


def test_the_text_is_in_the_language_of_the_reader() -> None:
    token = reader_language.set(PSEUDO)
    try:
        assert describe_error(Invalid("blank", "Fill this in.")).startswith("Fîłł ťhîš")
    finally:
        reader_language.reset(token)
