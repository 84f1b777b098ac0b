"""Avatars, state icons and colours."""

import re

import pytest

from models import new_id
from web.ui import avatars
from web.ui.assets import STATIC, render_icon


def test_the_style_sheet_defines_every_hue_and_percentage() -> None:
    sheet = (STATIC / "app.css").read_text()
    tints = {avatars.agent_hue(new_id()) for _ in range(2000)}
    assert tints == {int(tint) for tint in re.findall(r'\[data-h="(\d+)"\]', sheet)}
    shares = {avatars.round_to_five(share) for share in range(-5, 110)}
    assert shares == {int(share) for share in re.findall(r'\[data-p="(\d+)"\]', sheet)}


def test_the_hue_of_an_agent_is_stable() -> None:
    agent = new_id()
    assert avatars.agent_hue(agent) == avatars.agent_hue(str(agent))


@pytest.mark.parametrize(
    ("emoji", "glyph"),
    [(":gear:", "settings-2"), ("owl", "bird"), (None, "bot"), (":nonsense:", "bot"), ("🦉", "")],
)
def test_known_emoji_names_become_icons_and_others_text(emoji, glyph) -> None:
    assert avatars.emoji_icon(emoji) == glyph


def test_every_emoji_icon_exists() -> None:
    for glyph in avatars.EMOJI_ICONS.values():
        assert render_icon(glyph)
    for state in avatars.KNOWN_STATES:
        assert render_icon(f"ag-{state}")


def test_agents_may_report_states_of_their_own() -> None:
    assert avatars.state_icon("thinking_hard") == "idle"
    assert avatars.state_name("thinking_hard") == "Thinking hard"
    assert avatars.state_name("provisioning") == "Starting"


@pytest.mark.parametrize(
    ("name", "initials"),
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
def test_users_have_two_initials(name, initials) -> None:
    assert avatars.initials(name) == initials


@pytest.mark.parametrize(
    ("stored", "colour"),
    [("9E9E9E", "#9e9e9e"), ("#b0761f", "#b0761f"), ("red", ""), (None, ""), ('"/><x', "")],
)
def test_only_valid_colours_are_used(stored, colour) -> None:
    assert avatars.hex_colour(stored) == colour
