"""Characters that are not visible are named where a user decides about a text."""

import json
import time

import pytest

from services.approvals.rules import MAX_JSON_LENGTH
from web.ui.text_display import render_markdown, reveal, reveal_text, split_hidden_characters

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
    assert split_hidden_characters(f"a{character}b") == [("a", False), (name, True), ("b", False)]
    assert f"a⟦{name}⟧b" == reveal_text(f"a{character}b")
    assert f"⟦{name}⟧" in render_markdown(f"a{character}b", reveal=True)


@pytest.mark.parametrize(
    "text",
    ["plain\ttext\n", "Zürich, Łódź, Ελλάδα", "日本語、한국어", "done ✅ ⚠️ 👍🏽", "naïve “so”"],
)
def test_visible_text_is_not_changed(text: str) -> None:
    assert reveal_text(text) == text


def test_hidden_characters_in_a_row_are_one_piece() -> None:
    assert reveal_text("a\u200b\u202eb" + "\u200b" * 500) == "a⟦U+200B U+202E⟧b⟦U+200B (500 times)⟧"


def test_revealed_text_is_escaped() -> None:
    assert reveal("<b>\u202e</b>") == (
        '&lt;b&gt;<mark class="hidden-char" title="Invisible character">U+202E</mark>&lt;/b&gt;'
    )


@pytest.mark.parametrize("piece", ["\u202e", "a\u202e", "日\u3164", "<", "\ufe0f\u2800", "\x07 "])
def test_hostile_text_of_the_maximum_size_is_revealed_in_a_second(piece: str) -> None:
    text = piece * (MAX_JSON_LENGTH // len(json.dumps(piece)[1:-1]))
    start = time.process_time()
    reveal(text)
    reveal_text(text)
    assert time.process_time() - start < 1
