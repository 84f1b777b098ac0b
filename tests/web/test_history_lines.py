"""The lines of a task's conversation, and the cache of their HTML."""

from datetime import timedelta

import pytest

from core.clock import now
from models import Agent, Comment, Event, EventType, new_id
from services.tasks import HistoryEntry
from web.tasks import history
from web.tasks.history import MAX_LINE_LENGTH, build_history_lines
from web.ui import time_format
from web.ui.markdown import render_markdown
from web.ui.translation import reader_language

AGENT = Agent(id=new_id(), name="Juniper", is_board_lead=True, identity_profile={"emoji": "robot"})


def build_comment(text: str) -> HistoryEntry:
    comment = Comment(id=new_id(), message=text)
    return HistoryEntry(now(), "Juniper", True, AGENT.id, None, comment=comment)


def render(entry: HistoryEntry, *agents: Agent) -> str:
    [line] = build_history_lines([entry], agents)
    return str(line.render({line.markdown: render_markdown(line.markdown).html}))


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    history.LINES.clear()


def test_a_line_is_rendered_once_and_its_age_is_always_current(monkeypatch) -> None:
    entry = build_comment("**Ready**")
    assert "just now" in render(entry, AGENT)
    monkeypatch.delattr(history, "environment")  # a second rendering would fail
    monkeypatch.setattr(time_format, "now", lambda: entry.at + timedelta(minutes=5))
    later = render(entry, AGENT)
    assert "5 min ago" in later
    assert "<strong>Ready</strong>" in later


def test_a_line_shows_what_has_changed_since_it_was_cached() -> None:
    entry = build_comment("Ready")
    assert "lead" in render(entry, AGENT)
    successor = Agent(id=AGENT.id, name="Juniper", is_board_lead=False, identity_profile={})
    assert "lead" not in render(entry, successor)
    language = reader_language.set("de")
    try:
        assert "gerade eben" in render(entry, AGENT)
    finally:
        reader_language.reset(language)


def test_long_texts_are_not_kept_in_memory() -> None:
    text = ("word " * MAX_LINE_LENGTH).strip()
    assert text in render(build_comment(text), AGENT)
    event = Event(id=new_id(), type=EventType.TASK_LEAD_NOTIFY_FAILED, data={"error": text})
    assert text in render(HistoryEntry(now(), "Ana", False, None, None, event=event))
    assert not len(history.LINES)


def test_short_texts_with_long_html_are_not_kept_in_memory() -> None:
    table = "|a" * 240 + "|\n" + "|-" * 240 + "|\n" + "x\n" * 30
    assert len(table) < 1_100
    assert len(render(build_comment(table), AGENT)) > 50_000
    emoji = Agent(id=AGENT.id, name="Juniper", is_board_lead=False)
    emoji.identity_profile = {"emoji": "x" * 60_000}
    assert len(render(build_comment("Ready"), emoji)) < 1_000
    assert len(history.LINES) == 1


def test_only_the_lines_that_were_shown_last_are_kept(monkeypatch) -> None:
    first, second, third = (build_comment(text) for text in "abc")
    render(first, AGENT)
    monkeypatch.setattr(history.LINES, "max_length", int(2.5 * history.LINES.length))
    for entry in (second, first, third):
        render(entry, AGENT)
    monkeypatch.delattr(history, "environment")
    assert "a" in render(first, AGENT)
    with pytest.raises(NameError):
        render(second, AGENT)


@pytest.mark.parametrize("emoji", [{"a": 1}, ["robot"], 7, "", None])
def test_any_emoji_of_a_profile_is_accepted(emoji: object) -> None:
    agent = Agent(
        id=AGENT.id, name="Juniper", is_board_lead=False, identity_profile={"emoji": emoji}
    )
    assert "Ready" in render(build_comment("Ready"), agent)


def test_user_text_of_an_event_is_escaped() -> None:
    event = Event(id=new_id(), type=EventType.TASK_UPDATED, data={})
    entry = HistoryEntry(now(), "<b>Ana</b>", False, None, new_id(), event=event)
    assert "&lt;b&gt;Ana&lt;/b&gt;" in render(entry)
