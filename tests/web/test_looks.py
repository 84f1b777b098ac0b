"""How people, agents and labels look."""

import re

import pytest

from models import new_id
from web import looks
from web.assets import STATIC
from web.icons import icon


def test_every_tint_and_every_share_that_is_written_is_known_to_the_style_sheet() -> None:
    sheet = (STATIC / "app.css").read_text()
    tints = {looks.hue(new_id()) for _ in range(2000)}
    assert tints == {int(tint) for tint in re.findall(r'\[data-h="(\d+)"\]', sheet)}
    shares = {looks.step5(share) for share in range(-5, 110)}
    assert shares == {int(share) for share in re.findall(r'\[data-p="(\d+)"\]', sheet)}


def test_an_agent_keeps_its_tint() -> None:
    agent = new_id()
    assert looks.hue(agent) == looks.hue(str(agent))


@pytest.mark.parametrize(
    ("emoji", "glyph"),
    [(":gear:", "settings-2"), ("owl", "bird"), (None, "bot"), (":nonsense:", "bot"), ("🦉", "")],
)
def test_an_emoji_is_drawn_if_we_know_its_name_and_shown_if_it_is_one(emoji, glyph) -> None:
    assert looks.glyph(emoji) == glyph


def test_every_glyph_has_its_drawing() -> None:
    for glyph in looks.GLYPHS.values():
        assert icon(glyph)
    for state in looks.KNOWN_STATES:
        assert icon(f"ag-{state}")


def test_agents_may_report_states_of_their_own() -> None:
    assert looks.state_glyph("thinking_hard") == "idle"
    assert looks.state_name("thinking_hard") == "Thinking hard"
    assert looks.state_name("provisioning") == "Starting"


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Mara Okafor", "MO"),
        ("Devi", "DE"),
        ("Ana Maria de Souza", "AS"),
        ("", "?"),
        (None, "?"),
        ("!!", "?"),
        ("李", "李"),
    ],
)
def test_people_are_known_by_two_letters(name, letters) -> None:
    assert looks.initials(name) == letters


@pytest.mark.parametrize(
    ("stored", "colour"),
    [("9E9E9E", "#9e9e9e"), ("#b0761f", "#b0761f"), ("red", ""), (None, ""), ('"/><x', "")],
)
def test_only_a_colour_is_drawn_as_one(stored, colour) -> None:
    assert looks.hex_colour(stored) == colour
