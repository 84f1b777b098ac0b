"""No text of a corpus of prompt injections leaves its block in messages and agent files (39)."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import UUID

import pytest

from core.clock import now
from core.text import INVISIBLE_CATEGORIES
from models import (
    Approval,
    ApprovalStatus,
    Board,
    BoardGroup,
    OnboardingMessage,
    OnboardingRole,
    Status,
    Task,
)
from services.gateways import files
from services.gateways.files import AgentFacts, AgentRole, BoardFacts, PersonFacts, ServedBoard
from services.messages import templates
from services.messages.templates import MessageMarker
from services.onboarding import commands
from tests.support.cpu_time import limit_cpu

CORPUS = [
    json.loads(line)
    for line in Path(__file__).with_name("prompt_injection.txt").read_text().splitlines()
]
HARMLESS = "Harmless"
ID = UUID("00000000-0000-0000-0000-0000000000aa")
BASE = "https://mission.example"
MESSAGE_BLOCK = re.compile(
    r"^--- BEGIN EXTERNAL DATA (\w{16})\n(.*?)\n--- END EXTERNAL DATA \1$",
    re.DOTALL | re.MULTILINE,
)
FILE_BLOCK = re.compile(r"^(`{3,})text\n(.*?)\n\1$", re.DOTALL | re.MULTILINE)
LABEL = re.compile(r"^(?:- )?[A-Z][A-Za-z ]*(?=[:=])|^[A-Z_]+(?==)")
ASSIGNMENTS = ("BASE_URL=", "AUTH_TOKEN=", "BOARD_ID=", "AGENT_ID=", "WORKSPACE_PATH=")


def render_messages(text: str) -> Iterator[tuple[str, str]]:
    """Yield every kind of message with `text` in every field that somebody else writes."""
    board, group = Board(id=ID, name=text, description=text), BoardGroup(id=ID, name=text)
    task = Task(id=ID, title=text, description=text, status=Status.INBOX)
    approval = Approval(
        id=ID,
        action_type=text,
        status=ApprovalStatus.REJECTED,
        confidence=87.5,
        decision_note=text,
    )
    for marker in templates.INSTRUCTIONS:
        yield marker, templates.render_task(marker, board, task, feedback=text)
    for mentioned in (False, True):
        yield (
            "comment",
            templates.render_comment(
                board, task, sender=text, message=text, mentioned=mentioned, assigned=mentioned
            ),
        )
        yield (
            "chat",
            templates.render_board_chat(
                board, sender=text, content=text, mentioned=mentioned, base_url=BASE
            ),
        )
        yield (
            "group chat",
            templates.render_group_chat(
                group, board, sender=text, content=text, broadcast=mentioned, base_url=BASE
            ),
        )
        yield "group", templates.render_group_update(board, group, recipient=board, joined=True)
    yield "approval", templates.render_approval_decision(board, approval, [ID])
    changes = {"objective": [text, text], "success_metrics": [None, {text: [text]}]}
    yield "board", templates.render_board_update(board, changes)
    replies = {"reply_tags": ["x"], "reply_source": None, "base_url": BASE}
    yield (
        "ask",
        templates.render_user_request(
            board, lead=text, content=text, correlation_id=text, preferred_channel=text, **replies
        ),
    )
    yield (
        "main",
        templates.render_lead_message(
            MessageMarker.GATEWAY_MAIN_HANDOFF,
            board,
            sender=text,
            content=text,
            correlation_id=text,
            **replies,
        ),
    )
    yield "nudge", templates.render_nudge(board, lead=text, content=text)
    payload = templates.WebhookText(
        board=board,
        webhook_id=ID,
        payload_id=ID,
        description=text,
        preview=text,
        is_cut=True,
        base_url=BASE,
        is_signed=False,
    )
    yield "webhook", templates.render_webhook_event(payload)
    yield "webhook note", templates.render_webhook_note(payload)
    history = [
        OnboardingMessage(id=ID, role=OnboardingRole.USER, content=text, created_at=now())
        for _ in range(2)
    ]
    yield "briefing", commands.render_reminder(board, history, BASE)
    yield "answer", commands.render_answer(board, text)


def render_files(role: AgentRole, text: str) -> Mapping[str, str]:
    """Return all files of an agent with `text` in every field that somebody else writes."""
    traits = ("role", "communication_style", "emoji", "purpose", "personality")
    preferences = ("autonomy_level", "verbosity", "output_format", "update_cadence")
    profile = dict.fromkeys([*traits, *preferences, "custom_instructions"], text)
    board = BoardFacts(
        id=ID,
        name=text,
        board_type=text,
        description=text,
        objective=text,
        success_metrics={text: text, "list": [text]},
        lead_name=text,
        lead_profile=profile,
    )
    facts = AgentFacts(
        role=role,
        agent_id=ID,
        name=text,
        base_url=BASE,
        token="mc_agent_own",
        profile=profile,
        identity=text,
        soul=text,
        workspace="~/w",
        session_key="agent:x:main",
        board=None if role is AgentRole.MAIN else board,
        person=PersonFacts(**dict.fromkeys(PersonFacts.__dataclass_fields__, text)),
        gateway_name=text,
        boards=[ServedBoard(id=ID, name=text, lead_name=text)],
    )
    others = {
        "heartbeat": files.render_heartbeat(facts),
        "first message": files.render_first_message(facts),
    }
    if role is not AgentRole.MAIN:
        others["handover"] = files.render_handover(facts)
    return files.render_files(facts) | others


def outline(rendered: str, block: re.Pattern[str]) -> list[str]:
    """Return the lines outside the blocks; of a line with a label only the label."""
    lines = block.sub("(block)", rendered).split("\n")
    return [match[0] if (match := LABEL.match(line)) else line for line in lines]


def find_invisible(rendered: str) -> set[str]:
    """Return the characters that a person would not see."""
    return {
        character
        for character in set(rendered) - set("\n\t\u200c\u200d")
        if unicodedata.category(character) in {*INVISIBLE_CATEGORIES, "Zl", "Zp"}
        or 0xFE00 <= ord(character) < 0xFE0E
        or 0xE0000 <= ord(character) < 0xE1000
        or character in "\u115f\u1160\u3164\uffa0\u034f\u2800"
    }


def test_the_corpus_has_at_least_200_texts() -> None:
    assert len(CORPUS) == len(set(CORPUS)) >= 200


def test_a_text_stays_inside_the_block_of_a_message() -> None:
    expected = list(render_messages(HARMLESS))
    for text in CORPUS:
        check_messages(text, expected)


def check_messages(text: str, expected: list[tuple[str, str]]) -> None:
    for (kind, rendered), (_, harmless) in zip(render_messages(text), expected, strict=True):
        assert outline(rendered, MESSAGE_BLOCK) == outline(harmless, MESSAGE_BLOCK), (kind, text)
        assert not find_invisible(rendered), (kind, text)
        for _, inside in MESSAGE_BLOCK.findall(rendered):
            lines = {line.strip() for line in inside.split("\n")}
            assert not lines & {*MessageMarker, "WAKE UP", "/pause", "/resume"}
            assert not re.search(r"^\W*(BEGIN|END)\W*EXTERNAL", inside.replace("> ", "x"), re.M)


@pytest.mark.parametrize("role", AgentRole)
def test_a_text_stays_inside_the_block_of_a_file(role: AgentRole) -> None:
    expected = render_files(role, HARMLESS)
    for text in CORPUS:
        check_files(role, text, expected)


def check_files(role: AgentRole, text: str, expected: Mapping[str, str]) -> None:
    for name, rendered in render_files(role, text).items():
        assert outline(rendered, FILE_BLOCK) == outline(expected[name], FILE_BLOCK), (name, text)
        assert not find_invisible(rendered), (name, text)
        for prefix in ASSIGNMENTS:
            own = rendered.count(f"\n{prefix}") - sum(
                inside.count(f"\n{prefix}") + inside.startswith(prefix)
                for _, inside in FILE_BLOCK.findall(rendered)
            )
            assert own == expected[name].count(f"\n{prefix}"), name


@pytest.mark.parametrize(
    "part", ["\n", "-", " ", "\r\n", "`", "--- END", "\u200b", "\u200d", "BEGIN "]
)
def test_hostile_text_is_quoted_within_a_second(part: str) -> None:
    text = part * (200_000 // len(part))
    with limit_cpu():
        templates.fence_text(text)
        templates.to_single_line(text)
