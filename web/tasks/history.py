"""The history of a task: its lines, and their texts."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from models import Agent, Event, EventType, LinkKind, Status
from services.events import EVENT_DEFINITIONS, find_task_cause
from services.forges import CheckStatus
from services.tasks import FieldChange, HistoryEntry
from web.activity.event_texts import build_values, name_missing_actor, translate_webhook_name
from web.boards.cards import STATUS_NAMES, name_priority
from web.boards.task_links import CHECK_NAMES, name_state
from web.ui import time_format
from web.ui.avatars import agent_hue, emoji_icon
from web.ui.formatted_texts import BoundedCache, FormattedTexts
from web.ui.render import environment
from web.ui.translation import N_, _, reader_language, translate

ASSIGNMENT_FIELDS = ("assigned_agent_id", "assigned_user_id")
Sentence = tuple[str, Mapping[str, object]]
"""A marked text, and its values without the actor."""

MAX_LINE_LENGTH = 8_000  # characters; longer lines are rendered again
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
    """Build the lines of these entries. `agents` are their authors that are on the board."""
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
    label = None
    if entry.is_by_agent:
        emoji = (agent.identity_profile or {}).get("emoji") if agent else ""
        emoji = emoji[:16] if isinstance(emoji, str) else ""  # a profile can contain any text
        label = AgentLabel(agent_hue(entry.agent_id), emoji_icon(emoji), emoji)
    return CommentAuthor(
        name=_name_author(entry) or _("Deleted user"),
        agent=label,
        is_lead=agent is not None and agent.is_board_lead,
    )


def _name_author(entry: HistoryEntry) -> str:
    name = entry.author_name or ""
    return name if entry.user_id or entry.agent_id else translate_webhook_name(name)


LINES: BoundedCache[LineContent, tuple[str, str]] = BoundedCache(4_000_000)
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


def describe_entry(entry: HistoryEntry, event: Event) -> Markup:
    """Say what happened in an event of a task's history."""
    name = escape(_name_author(entry) or name_missing_actor(event))
    actor = Markup(f"<b>{name}</b>")  # noqa: S704 (escaped)
    sentences = [
        Markup(translate(text)) % {**values, "actor": actor}  # noqa: S704 (a text of ours)
        for text, values in _list_sentences(entry, event)
    ]
    return Markup(" ").join(sentences)


def _list_sentences(entry: HistoryEntry, event: Event) -> list[Sentence]:
    status = find_entered_status(event)
    if cause := find_task_cause(event):
        move = _describe_status(N_("This task went back to %(status)s."), status)
        return [(cause.history_text, {}), *move]
    if event.type is EventType.TASK_LINK_UPDATED:
        return [_describe_link(event.data)]
    definition = EVENT_DEFINITIONS[event.type]
    text = definition.history_text or definition.feed_text
    if text and event.type not in (EventType.TASK_UPDATED, EventType.TASK_STATUS_CHANGED):
        values = build_values(event)
        subject = values["question"] or values["title"] or values["name"]
        if event.type.startswith("approval.") and not isinstance(event.data.get("question"), str):
            subject = _("a question")
        return [(text, {**values, "subject": subject})]
    sentences = _describe_status(N_("%(actor)s moved this task to %(status)s."), status)
    is_assigned = any(one.field in ASSIGNMENT_FIELDS and one.new for one in entry.changes)
    for change in entry.changes:
        # Who lost the task is not mentioned after a move, and if somebody else got it.
        is_lost = change.field in ASSIGNMENT_FIELDS and change.new is None
        if not (is_lost and (status or is_assigned)):
            sentences += CHANGE_TEXTS.get(change.field, _describe_other)(change)
    return sentences or [(N_("%(actor)s changed this task."), {})]


def _describe_link(data: Mapping[str, Any]) -> Sentence:
    if data.get("checks_state") in CHECK_NAMES:
        state = translate(CHECK_NAMES[CheckStatus(data["checks_state"])])
    else:
        state = name_state(str(data.get("state")))
    text = N_("%(actor)s reported %(link)s: %(state)s.")
    is_check = data.get("kind") == LinkKind.CHECK
    values = {"link": data.get("link_title" if is_check else "reference"), "state": state}
    return text, values


def find_entered_status(event: Event) -> str:
    """Return the status to which an event moved the task; "" if it did not."""
    entered = event.data.get("entered")
    is_move = event.type is EventType.TASK_STATUS_CHANGED
    return entered if is_move and entered in set(Status) else ""


def _describe_status(text: str, status: str) -> list[Sentence]:
    return [(text, {"status": translate(STATUS_NAMES[Status(status)])})] if status else []


def _describe_other(change: FieldChange) -> list[Sentence]:
    values = {"field": change.label or change.field}
    return [(N_("%(actor)s changed the field “%(field)s”."), values)]


def _describe_title(change: FieldChange) -> list[Sentence]:
    return [(N_("%(actor)s renamed this task from “%(title)s”."), {"title": change.old})]


def _describe_priority(change: FieldChange) -> list[Sentence]:
    values = {"priority": name_priority(str(change.new))}
    return [(N_("%(actor)s set the priority to %(priority)s."), values)]


def _describe_due_date(change: FieldChange) -> list[Sentence]:
    if not change.new:
        return [(N_("%(actor)s removed the due date."), {})]
    day = time_format.format_day(datetime.fromisoformat(str(change.new)))
    return [(N_("%(actor)s set the due date to %(date)s."), {"date": day})]


def _describe_assignment(change: FieldChange) -> list[Sentence]:
    if change.new:
        return [(N_("%(actor)s assigned this task to %(agent)s."), {"agent": change.new})]
    return [(N_("%(actor)s unassigned this task from %(agent)s."), {"agent": change.old})]


def _describe_list_change(added: str, removed: str) -> Callable[[FieldChange], Iterable[Sentence]]:
    """Build a function that describes added and removed items of a list field."""

    def describe(change: FieldChange) -> Iterable[Sentence]:
        old, new = change.old or [], change.new or []
        yield from ((added, {"item": item}) for item in new if item not in old)
        yield from ((removed, {"item": item}) for item in old if item not in new)

    return describe


CHANGE_TEXTS: dict[str, Callable[[FieldChange], Iterable[Sentence]]] = {
    "title": _describe_title,
    "description": lambda _: [(N_("%(actor)s changed the description."), {})],
    "priority": _describe_priority,
    "due_at": _describe_due_date,
    **dict.fromkeys(ASSIGNMENT_FIELDS, _describe_assignment),
    "tag_ids": _describe_list_change(
        N_("%(actor)s added the tag %(item)s."),
        N_("%(actor)s removed the tag %(item)s."),
    ),
    "depends_on_task_ids": _describe_list_change(
        N_("%(actor)s added the dependency on “%(item)s”."),
        N_("%(actor)s removed the dependency on “%(item)s”."),
    ),
}
"""Function that describes a change, by field."""
