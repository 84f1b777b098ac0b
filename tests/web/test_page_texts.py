"""Texts that pages have for the codes and values of services."""

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest

from models import Approval, User, new_id
from services.approvals import ApprovalDetail, format_question
from services.approvals.details import LinkedTask
from services.audit import AuditAction
from services.events import EVENT_DEFINITIONS
from web.approvals.sentences import build_done_reason, describe_question, describe_reason
from web.audit import ACTION_TEXTS, GROUP_TEXTS
from web.ui.translation import LANGUAGES, PSEUDO, reader_language


@pytest.fixture
def pseudo_language() -> Iterator[None]:
    token = reader_language.set(PSEUDO)
    yield
    reader_language.reset(token)


def make_detail(kind: str, *titles: str, requester: User | None = None, **payload: Any):
    approval = Approval(action_type=kind, payload=payload)
    tasks = [LinkedTask(new_id(), title) for title in titles]
    return ApprovalDetail(approval, cast("Any", None), None, None, requester, None, tasks)


KINDS = (
    "task.complete",
    "taskDone",
    "task.archive",
    "email.send",
    "deploy_site",
    "deploy",
    " ",
    ".",
)


@pytest.mark.parametrize("titles", [[], ["One"], ["One", "Two"], ["One", "Two", "Three"]])
@pytest.mark.parametrize("kind", KINDS)
def test_pages_and_api_show_the_same_english_question(kind: str, titles: list[str]) -> None:
    detail = make_detail(kind, *titles)
    assert describe_question(detail) == format_question(kind, titles)


def test_a_long_kind_and_a_long_title_are_cut() -> None:
    assert len(describe_question(make_detail("k" * 200, "t" * 300))) < 320


@pytest.mark.usefixtures("pseudo_language")
def test_only_the_generic_part_of_a_question_is_translated() -> None:
    question = describe_question(make_detail("email.send", "Newsletter"))
    assert "“Newsletter”" in question
    assert question != "Send the email for “Newsletter”?"


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != "en"])
@pytest.mark.parametrize("titles", [[], ["One"], ["One", "Two"]])
@pytest.mark.parametrize("kind", ["task.archive", "email.send", "deploy_site"])
def test_translations_quote_the_words_of_a_kind(kind, titles, language) -> None:
    token = reader_language.set(language)
    question = describe_question(make_detail(kind, *titles))
    reader_language.reset(token)
    assert re.search("[“„](Archive( task)?|Send email|Deploy site)[“”]", question)


@pytest.mark.usefixtures("pseudo_language")
def test_only_a_reason_that_a_page_has_built_is_translated() -> None:
    ana = User(name="Ana", preferred_name=None, email="ana@example.com")
    built = make_detail("task.complete", requester=ana, reason=build_done_reason("Ana"))
    assert describe_reason(built).startswith("Ana ")
    assert describe_reason(built) != build_done_reason("Ana")
    other = make_detail("task.complete", requester=ana, reason="It is done.")
    assert describe_reason(other) == "It is done."


def test_every_audited_action_has_a_text() -> None:
    audited = [type for type, one in EVENT_DEFINITIONS.items() if one.audit_text]
    assert ACTION_TEXTS.keys() == {*audited, *AuditAction}
    assert GROUP_TEXTS.keys() == {action.partition(".")[0] for action in ACTION_TEXTS}
