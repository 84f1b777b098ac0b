"""The lines of a task's conversation, with HTML that is cached by everything that it shows.

A comment reloads the conversation of every viewer, so most lines are rendered often. As in
web/boards/card_cache.py, `LineContent` is both the only input of the template and the key of the
cache. The age of a line, which changes with time alone, is put into the cached HTML afterwards.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from markupsafe import Markup

from models import Agent
from services.tasks import HistoryEntry
from web.tasks.history_texts import describe_entry, find_entered_status
from web.ui import time_format
from web.ui.avatars import agent_hue, emoji_icon
from web.ui.formatted_texts import BoundedCache, FormattedTexts
from web.ui.render import environment
from web.ui.translation import _, reader_language

MAX_CACHE_LENGTH = 4_000_000  # characters of all lines
MAX_LINE_LENGTH = 8_000  # characters; longer lines are rendered again
MAX_EMOJI_LENGTH = 16  # characters; a profile can contain any text
SEPARATOR = "\0"  # not in any text of the database, and not escaped by templates


class AgentLabel(NamedTuple):
    """The avatar of an agent."""

    hue: int
    icon: str  # "" if the emoji is shown
    emoji: str


class CommentAuthor(NamedTuple):
    """The author of a comment."""

    name: str
    agent: AgentLabel | None  # None: a user
    is_lead: bool


class LineContent(NamedTuple):
    """Everything that a line shows, as it is shown."""

    language: str
    id: str
    iso: str
    absolute: str  # time
    text: str  # HTML of a comment, or text of an event
    author: CommentAuthor | None  # of a comment
    status: str  # that an event led to, or ""


@dataclass(frozen=True)
class HistoryLine:
    """A comment or an event of a task, as it is shown."""

    content: LineContent  # of a comment without its text
    at: datetime
    markdown: str = ""  # of a comment

    @property
    def id(self) -> str:
        """Return the element id of the line."""
        return self.content.id

    def render(self, formatted: FormattedTexts) -> Markup:
        """Render the line with the HTML of its text."""
        content = self.content
        if self.markdown:
            content = content._replace(text=formatted[self.markdown])
        before_age, rest = _render_cached(content)
        return Markup(f"{before_age}{time_format.format_age(self.at, ago=True)}{rest}")  # noqa: S704


def build_history_lines(
    entries: Iterable[HistoryEntry], agents: Iterable[Agent]
) -> list[HistoryLine]:
    """Build the lines of these entries. `agents` are those of the board."""
    agents_by_id = {agent.id: agent for agent in agents}
    return [
        _build_line(entry, agents_by_id.get(entry.agent_id) if entry.agent_id else None)
        for entry in entries
    ]


def _build_line(entry: HistoryEntry, agent: Agent | None) -> HistoryLine:
    event, comment = entry.event, entry.comment
    content = LineContent(
        language=reader_language.get(),
        id=f"c-{entry.id}" if comment else f"e-{entry.id}",
        iso=time_format.format_iso(entry.at),
        absolute=time_format.format_absolute(entry.at),
        text=describe_entry(entry, event) if event else "",
        author=_describe_author(entry, agent) if comment else None,
        status=find_entered_status(event) if event else "",
    )
    return HistoryLine(content, entry.at, comment.message if comment else "")


def _describe_author(entry: HistoryEntry, agent: Agent | None) -> CommentAuthor:
    return CommentAuthor(
        name=entry.author_name or _("Deleted user"),
        agent=_label_agent(entry, agent) if entry.is_by_agent else None,
        is_lead=agent is not None and agent.is_board_lead,
    )


def _label_agent(entry: HistoryEntry, agent: Agent | None) -> AgentLabel:
    emoji = (agent.identity_profile or {}).get("emoji") if agent else ""
    emoji = emoji[:MAX_EMOJI_LENGTH] if isinstance(emoji, str) else ""
    return AgentLabel(agent_hue(entry.agent_id), emoji_icon(emoji), emoji)


LINES: BoundedCache[LineContent, tuple[str, str]] = BoundedCache(MAX_CACHE_LENGTH)
"""The HTML of the lines that were shown last, before and after the place of their ages."""


def _render_cached(content: LineContent) -> tuple[str, str]:
    rendered = LINES.find(content)
    if rendered is None:
        template = environment.get_template("comments/_entry.html")
        before_age, rest = template.render(line=content, slot=SEPARATOR).split(SEPARATOR)
        rendered = (before_age, rest)
        length = len(content.text) + len(before_age) + len(rest)
        if length <= MAX_LINE_LENGTH:
            LINES.keep(content, rendered, length)
    return rendered
