"""Texts of errors on pages: they are marked where the errors are raised."""

import ast
import re
from collections import ChainMap, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from core import errors
from core.errors import AppError, Conflict, Invalid, TooMany, Unavailable
from web.ui.locale_format import describe_error
from web.ui.translation import PSEUDO, reader_language

ROOT = Path(__file__).parents[2]
ERRORS = {name for name, one in vars(errors).items() if isinstance(one, type)}
PLACEHOLDER = re.compile(r"%\((\w+)\)")

CODES_ONLY_IN_API = """
account_not_found agent_status_forbidden approval_status_forbidden
approval_status_invalid assignee_is_lead audit_already_dropped audit_record_not_found
audit_too_recent board_group_read_forbidden
board_group_required board_group_slug_taken board_group_write_forbidden
claimed_by_other_run cursor_invalid status_changed
field_invalid field_key_fixed gateway_agent_claims_no_tasks
gateway_main_required gateway_agent_cannot_be_deleted hook_field_invalid
idempotency_response_unreadable idempotency_key_in_use idempotency_key_reused
installation_in_use invalid_event_id issuer_required
lead_cannot_be_deleted lead_comment_forbidden lead_comment_in_update lead_move_forbidden
lead_required
max_agents_reached memory_author_required memory_not_found
not_original original_organization original_revision original_schema original_unreachable
agent_paused only_lead_can_change_status paused_by_person reason_required soul_read_forbidden
status_invalid tag_used_by_policy task_already_claimed token_scope_insufficient
task_assignee_mismatch task_board_mismatch task_update_field_forbidden token_ended
token_expired too_many_tasks unknown_custom_fields unknown_priority
template_field_unknown tool_input_invalid user_question_not_open user_reply_forbidden
webhook_queue_full
webhook_signature_invalid workers_may_not_ask too_many_questions
choice_repeated kind_not_configurable kind_without_board
skill_files_not_found webhook_signature_missing webhook_timestamp_invalid
"""
"""Errors that no page can cause; their messages are only for programs, agents and operators."""

ONLY_IN_API = frozenset(CODES_ONLY_IN_API.split())

TEXT_OF_CAUSE = {"custom_field_value_invalid", "default_value_invalid", "url_invalid"}
"""Errors with a text that a check returns: services/custom_fields/rules, openclaw/addresses."""


DEFAULT_CODES = {"TooMany": "rate_limited", "Unavailable": "unavailable"}
"""The codes of errors that can be raised with a text only."""

Names = Mapping[str, list[ast.expr]]  # what is assigned to a name


class RaisedError(NamedTuple):
    """A place that creates an error below web/."""

    place: str
    code: str
    details: set[str]
    texts: list[ast.expr]  # what the text can be; without any it is not known here


def find_errors() -> Iterator[RaisedError]:
    trees = {
        file.relative_to(ROOT): ast.parse(file.read_text())
        for package in ("core", "models", "openclaw", "services")
        for file in (ROOT / package).rglob("*.py")
    }
    constants = list_assigned(node for tree in trees.values() for node in tree.body)
    for path, tree in trees.items():
        names = ChainMap(list_assigned(ast.walk(tree)), constants)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS:
                yield from read_error(node, names, f"{path}:{node.lineno}")


def list_assigned(nodes: Iterable[ast.AST]) -> dict[str, list[ast.expr]]:
    assigned = defaultdict(list)
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assigned[node.targets[0].id].append(node.value)
    return dict(assigned)


def read_error(call: ast.Call, names: Names, place: str) -> Iterator[RaisedError]:
    keywords = {one.arg or "**": one.value for one in call.keywords}
    of_code = [keywords.get("code"), *call.args]
    codes = [one for one in of_code if isinstance(one, ast.Constant)]
    codes = [one for one in codes if re.fullmatch(r"[a-z_]+", str(one.value))]
    of_text = [*(one for one in call.args if one not in codes), keywords.get("text")]
    texts = [text for one in of_text if one for text in list_texts(one, names)]
    default = DEFAULT_CODES.get(getattr(call.func, "id", ""))
    if default and texts and not codes:
        yield RaisedError(place, default, set(keywords), texts)
    for one in codes:
        yield RaisedError(place, str(one.value), set(keywords), texts)


def list_texts(node: ast.expr, names: Names) -> Iterator[ast.expr]:
    """Return what an expression can be: a name, or a value of a dictionary."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            for value in names.get(name, ()):
                yield from list_texts(value, {})
        case ast.Subscript(value=ast.Name() as table):
            yield from list_texts(table, names)
        case ast.Call(func=ast.Attribute(attr="get", value=ast.Name() as table), args=[_, other]):
            yield from list_texts(table, names)
            yield from list_texts(other, names)
        case ast.Dict(values=values):
            yield from values
        case ast.Constant(value=str()) | ast.JoinedStr() | ast.Call(func=ast.Name("N_")):
            yield node


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
    unmarked = [
        (one.place, one.code)
        for one in raised
        if one.code not in ONLY_IN_API | TEXT_OF_CAUSE
        and not any(read_marked_text(text) for text in one.texts)
    ]
    assert unmarked == []
    assert sorted(ONLY_IN_API - {one.code for one in raised}) == []


def test_the_texts_need_only_values_that_the_errors_have(raised: list[RaisedError]) -> None:
    for one in raised:
        for text in filter(None, map(read_marked_text, one.texts)):
            if len(one.texts) == 1 and "**" not in one.details:
                assert one.details >= set(PLACEHOLDER.findall(text)), one.place


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Invalid("blank", "Enter a value.", field="name"), "Enter a value."),
        (
            Invalid(
                "too_long", "%(length)s, %(max_length)s at most.", length=10_001, max_length=99
            ),
            "10,001, 99 at most.",
        ),
        (TooMany(retry_after=7), "Too many requests. Try again in 7 s."),
        (Unavailable(), "The database does not answer. Try again soon."),
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
        assert describe_error(Invalid("blank", "Enter a value.")).startswith("Éñťéř à v")
    finally:
        reader_language.reset(token)
