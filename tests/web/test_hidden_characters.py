"""Characters that are not visible are named where a user decides about a text."""

import json
import re
import sys
from html import unescape
from unicodedata import category

import pytest

from models import Task
from services.approvals.rules import MAX_JSON_LENGTH
from tests.support.approval_pages import HTMX, ask, checkbox
from tests.support.cpu_time import limit_cpu
from web.ui.markdown import render_markdown
from web.ui.text_display import (
    BLANK_CHARACTERS,
    FIRST_UNDRAWN,
    HIDDEN_CATEGORIES,
    reveal,
    reveal_lines,
    reveal_text,
)

__all__ = ["ask"]

HIDDEN = {
    "bidirectional override": "\u202e",
    "bidirectional isolate": "\u2066",
    "Arabic letter mark": "\u061c",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "soft hyphen": "\u00ad",
    "byte order mark": "\ufeff",
    "control character": "\x07",
    "carriage return": "\r",
    "C1 control character": "\x85",
    "private use": "\ue000",
    "not assigned": "\u0378",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "tag": "\U000e0041",
    "variation selector": "\ufe00",
    "emoji selector after a letter": "\ufe0f",
    "supplementary variation selector": "\U000e0100",
    "Mongolian variation selector": "\u180b",
    "Mongolian vowel separator": "\u180e",
    "Hangul filler": "\u3164",
    "Hangul choseong filler": "\u115f",
    "Hangul jungseong filler": "\u1160",
    "half-width Hangul filler": "\uffa0",
    "blank braille pattern": "\u2800",
    "Khmer inherent vowel": "\u17b4",
    "combining grapheme joiner": "\u034f",
    "null notehead": "\U0001d159",
    "no-break space": "\u00a0",
    "ideographic space": "\u3000",
    "em space": "\u2003",
}


@pytest.mark.parametrize("character", HIDDEN.values(), ids=HIDDEN)
def test_a_hidden_character_is_named(character: str) -> None:
    name = f"U+{ord(character):04X}"
    assert f"a⟦{name}⟧b" == reveal_text(f"a{character}b")
    assert f"a{reveal(character)}b" == reveal(f"a{character}b")
    assert f">{name}</mark>" in reveal(character)


@pytest.mark.parametrize(
    "text",
    ["plain\ttext\n", "Zürich, Łódź, Ελλάδα", "日本語、한국어", "done ✅ ⚠️ 👍🏽", "naïve “so”"],
)
def test_visible_text_is_not_changed(text: str) -> None:
    assert reveal_text(text) == text


def test_nothing_is_drawn_in_the_high_planes() -> None:
    high = map(chr, range(FIRST_UNDRAWN, sys.maxunicode + 1))
    assert {category(one) for one in high if one not in BLANK_CHARACTERS} <= HIDDEN_CATEGORIES


def test_hidden_characters_in_a_row_are_one_piece() -> None:
    assert reveal_text("a\u200b\u202eb" + "\u200b" * 500) == "a⟦U+200B U+202E⟧b⟦U+200B (500 times)⟧"


def test_revealed_text_is_escaped() -> None:
    assert reveal("<b>\u202e</b>") == (
        '&lt;b&gt;<mark class="hidden-char" title="Invisible character">U+202E</mark>&lt;/b&gt;'
    )


def test_a_line_break_of_windows_is_no_hidden_character_of_lines() -> None:
    assert reveal_lines("a\r\nb\n\rc") == "a\nb\n" + reveal("\rc")
    assert "U+000D" in reveal("a\r\nb")


ENTITIES = ["&#x202e;", "&#8238;", "&rlm;", "&lrm;", "&#8203;", "&ZeroWidthSpace;", "&shy;"]


@pytest.mark.parametrize("entity", ENTITIES)
@pytest.mark.parametrize(
    "text",
    [
        "a{}b",
        "**{}**",
        "`{}`",
        "[a{}](https://x.example)",
        '[a](https://x.example "{}")',
        "![{}](https://x.example)",
        '[a]\n\n[a]: https://x.example "{}"',
        "|{}|\n|-|\n|{}|",
    ],
)
def test_an_entity_in_markdown_is_no_hidden_character(entity: str, text: str) -> None:
    html = unescape(render_markdown(text.format(entity, entity)).html)
    assert reveal_text(html) == html


DISGUISED = [
    *ENTITIES,
    "[//]: # (Delete the backups)",
    "[read]: https://x.example 'Delete the backups'",
    "| a |\n|---|\n| b | Delete the backups |",
    "``` Delete the backups\nharmless\n```",
    "[Read the plan](https://x.example/delete)",
    "![](https://x.example/delete)",
    "text\\\nmore   \n    more",
    "1. one\n7. seven",
    "~~do not~~ delete",
]


@pytest.mark.parametrize("text", DISGUISED)
async def test_text_for_a_decision_is_shown_exactly(alice, ask, transaction, text) -> None:
    first = await ask("First", payload={"reason": f"{text} r", "description": f"{text} d"})
    async with transaction() as session:
        (await session.get_one(Task, first.task_id)).description = f"{text} t"
    task_page = f"/boards/{first.board_id}/tasks/{first.task_id}"
    for address in ("/approvals", f"/approvals/{first.id}", task_page):
        page = (await alice.get(address)).text
        page = page.partition('id="content"')[2].partition('id="raw-')[0]
        exact = re.findall(r'<div class="(?:lines-)?exact[^>]*>(.*?)</div>', page, re.DOTALL)
        shown = [unescape(one) for one in exact]
        assert shown[:3] == [f"{text} r", f"{text} d", f"{text} t"], address
    assert shown[3:] == [f"{text} t"]  # the description of the task below its approvals


async def test_hidden_characters_are_named_before_several_approvals(alice, ask) -> None:
    asked = await ask("Ship\u202e it", confidence=60.0)
    sent = {"shown": checkbox(asked), "status": "approved"}
    page = (await alice.post("/approvals/answers", data=sent, headers=HTMX)).text
    assert reveal("“Ship\u202e it”") in page.split('id="confirm-name"')[1]


@pytest.mark.parametrize("piece", ["\u202e", "a\u202e", "日\u3164", "<", "\ufe0f\u2800", "\x07 "])
def test_hostile_text_of_the_maximum_size_is_revealed_in_a_second(piece: str) -> None:
    text = piece * (MAX_JSON_LENGTH // len(json.dumps(piece)[1:-1]))
    with limit_cpu():
        reveal(text)
        reveal_text(text)
