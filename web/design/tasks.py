"""Example tasks, conversations and activity for the page of all components."""

from datetime import datetime
from typing import Any
from uuid import UUID

from core.paging import Page
from models import Agent, Comment, Event, EventType, Member, Note, Status, Task, User
from services.activity import ActivityEntry
from services.boards import BoardPerson
from services.memory import NoteDetail
from services.tasks import HistoryEntry, HistoryPage, HistorySelection, TaskDetail, TaskRef
from web.activity.presenter import ActivityLine, build_activity_line
from web.boards.address import BoardAddress
from web.design.examples import BOARD_ID, TAGS, days_ago, minutes_ago
from web.tasks.conversation import ConversationAddress, UnreadComments
from web.tasks.history import build_history_lines
from web.ui.forms import Form

TASK_ID = UUID(int=90)
FIRST_NEW_COMMENT = UUID(int=93)


def build_task_context(agent: Agent, user_id: UUID) -> dict[str, Any]:
    """Return what the properties of a task and its conversation need."""
    task = Task(
        id=TASK_ID,
        board_id=BOARD_ID,
        title="Publish the 2.4 release notes",
        status=Status.REVIEW,
        priority="high",
        due_at=days_ago(-1),
        assigned_agent_id=agent.id,
        version=1,
    )
    form = Form({"status": [Status.DONE.value]})
    form.problem = "The task needs an approval before it can be done."
    form.code = "approval_required"
    return {
        "task": task,
        "detail": _build_detail(task, agent),
        "form": form,
        "open_approvals": [],
        "task_fields": [],
        "due_date_field": "",
        "assignees": [agent],
        "people": [],
        "tag_choices": TAGS,
        "workers": [],
        "watchers": [BoardPerson(user_id, "Mara Okafor", can_write=True)],
        "reader_id": user_id,
        "is_lead_missing": False,
        "board_address": BoardAddress(),
        **_build_conversation(agent),
    }


def _build_detail(task: Task, agent: Agent) -> TaskDetail:
    depends_on = [TaskRef(UUID(int=30), "Cut the release candidate", Status.DONE)]
    return TaskDetail(task, agent, None, depends_on, [], TAGS, 0, 0, 2, {})


def _build_conversation(agent: Agent) -> dict[str, Any]:
    """Build two comments and two events, of which the second half is new."""
    entries = [
        _build_event(91, minutes_ago(60), agent, EventType.TASK_CREATED),
        _build_comment(92, minutes_ago(12), agent, "Tag and packages are **ready**."),
        _build_comment(FIRST_NEW_COMMENT.int, minutes_ago(7), None, "Thanks. @Juniper, go on."),
        _build_event(
            94, minutes_ago(5), agent, EventType.TASK_STATUS_CHANGED, entered=Status.REVIEW.value
        ),
    ]
    page = HistoryPage(entries, has_earlier=True)
    return {
        "entries": build_history_lines(entries, [agent]),
        "conversation": ConversationAddress("", HistorySelection(), page),
        "unread_comments": UnreadComments(f"c-{FIRST_NEW_COMMENT}", "", True, 0, False),
    }


def _build_comment(number: int, at: datetime, agent: Agent | None, text: str) -> HistoryEntry:
    comment = Comment(id=UUID(int=number), message=text)
    name, id = (agent.name, agent.id) if agent else ("Mara Okafor", None)
    return HistoryEntry(at, name, agent is not None, id, None, comment)


def _build_event(
    number: int, at: datetime, agent: Agent, type: EventType, **data: Any
) -> HistoryEntry:
    event = Event(id=UUID(int=number), type=type, data=data)
    return HistoryEntry(at, agent.name, True, agent.id, None, event=event)


def build_talk_context(agent: Agent, member: Member) -> dict[str, Any]:
    """Return what a chat and its form after an error need."""
    form = Form({"content": [""]})
    form.errors["content"] = "Write a message."
    chat = _build_chat(agent, member.user_id)
    return {
        "chat_messages": chat.items,
        "notes": chat,
        "rejected_message": form,
    }


def _build_chat(agent: Agent, user_id: UUID) -> Page[NoteDetail]:
    """Build a chat with messages of an agent, of the viewer and of another user, and a command."""
    devi = User(id=UUID(int=4), name="Devi Rao")
    viewer = User(id=user_id, name="Mara Okafor")
    texts: list[tuple[str, Agent | User]] = [
        ("The candidate is built. Checksums are attached.", agent),
        ("Thank you. Please test the upgrade from **2.3** as well.", viewer),
        ("I test it on Windows.", devi),
        ("/pause", viewer),
        ("Paused after the current step.", agent),
    ]
    notes = [_build_message(number, *row) for number, row in enumerate(texts)]
    return Page(notes, len(notes), limit=50, offset=0)


def _build_message(number: int, text: str, author: Agent | User) -> NoteDetail:
    agent, user = (author, None) if isinstance(author, Agent) else (None, author)
    note = Note(
        id=UUID(int=50 + number),
        content=text,
        is_chat=True,
        agent_id=agent.id if agent else None,
        user_id=user.id if user else None,
        version=1,
        created_at=minutes_ago(50 - 10 * number),
    )
    return NoteDetail(note, agent, user)


def build_feed(agent: Agent, member: Member) -> list[ActivityLine]:
    """Build rows of an agent, of the viewer and of the system; one has a body."""
    title: dict[str, Any] = {"title": "Publish the 2.4 release notes"}
    moved = title | {"entered": Status.REVIEW.value}
    question: dict[str, Any] = {"question": "Publish the 2.4 release notes?", "confidence": 92}
    rows: list[tuple[EventType, dict[str, Any], dict[str, Any], str | None]] = [
        (EventType.TASK_STATUS_CHANGED, moved, {"agent_id": agent.id}, None),
        (EventType.APPROVAL_REQUESTED, question, {"agent_id": agent.id}, None),
        (EventType.TASK_COMMENT, title, {"agent_id": agent.id}, "All checks are **green**."),
        (EventType.TASK_CREATED, title, {"user_id": member.user_id}, None),
        (EventType.TASK_STATUS_CHANGED, moved | {"completed_task_id": "30"}, {}, None),
    ]
    lines = []
    for number, (type, data, actor, comment) in enumerate(rows):
        event = Event(
            id=UUID(int=100 + number),
            type=type,
            data=data,
            board_id=BOARD_ID,
            task_id=TASK_ID,
            created_at=minutes_ago(4 * number),
            **actor,
        )
        agent_name = agent.name if "agent_id" in actor else None
        user_name = "Mara Okafor" if "user_id" in actor else None
        entry = ActivityEntry(event, "", "Release operations", agent_name, user_name, comment)
        lines.append(build_activity_line(entry, member))
    return lines
