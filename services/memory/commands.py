"""The fields of notes, and the commands that create, update and delete notes and send them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints
from sqlalchemy import ColumnElement, Uuid, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import CombinedQuery, Query
from core.errors import Conflict, Forbidden, Invalid
from core.fields import (
    MAX_NAME_LENGTH,
    FieldKind,
    Fields,
    KnownVersions,
    Label,
    Patch,
    RequiredText,
    check_version,
)
from core.text import N_
from models import (
    Actor,
    Agent,
    Board,
    BoardAccess,
    BoardGroup,
    EventType,
    GroupNote,
    Note,
    NotificationKind,
    User,
    UserQuestionRecord,
    new_id,
)
from services import boards, events, messages, notifications, tasks
from services.memory.queries import NoteDetail
from services.memory.rules import (
    BOARD_MEMORY,
    CHAT_TAG,
    MemoryScope,
    board_scope,
    check_may_change,
    check_may_command,
    is_broadcast,
    is_chat,
    parse_command,
)
from services.messages import list_mentionable_people, list_mentioned_agents, templates
from services.notifications import NewNotification, cut_excerpt


class NoteFields(Fields):
    """What can be set in a new note, and changed."""

    content: Annotated[RequiredText, Label(N_("Note"), FieldKind.TEXT)]
    tags: Annotated[
        Annotated[
            list[Annotated[str, StringConstraints(max_length=100)]],
            Field(
                max_length=50,
                description="The tag `chat` makes the note a chat message, which agents are"
                " notified of.",
            ),
        ]
        | None,
        Label(N_("Tags"), FieldKind.LINE),
    ] = None
    source: (
        Annotated[
            str,
            StringConstraints(strip_whitespace=True, max_length=MAX_NAME_LENGTH),
            Field(
                description="A label chosen by the author. The author itself is recorded"
                " separately."
            ),
        ]
        | None
    ) = None


class NoteCreate(NoteFields):
    """A new note or chat message."""

    component = "BoardMemoryCreate"
    example = {"content": "The release is on Friday.", "tags": ["decision"]}

    correlation_id: Annotated[
        Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_NAME_LENGTH)] | None,
        Field(description="Of the question that a note with the tag `user_reply` answers."),
    ] = None


class GroupNoteCreate(NoteCreate):
    """A new note or chat message of a board group."""

    component = "BoardGroupMemoryCreate"


class NoteUpdate(NoteFields, Patch):
    """Changes of a note. Only streams are notified of a change."""

    component = "MemoryUpdate"
    example = {"content": "The release is on Monday."}
    may_be_empty = True


async def create_note(
    session: AsyncSession, actor: Actor, scope: MemoryScope, fields: NoteCreate, *, base_url: str
) -> NoteDetail:
    """Create a note on a locked board or group, and send it to the agents that it addresses.

    `base_url` is the address of the API in their messages. Raises Invalid for a board without a
    group, and Forbidden for a command of an agent that is not the lead. A reply of a user answers
    an open question: see `_check_user_reply`.
    """
    if scope.id is None:
        reason = "This board is not in a group, so it has no group memory."
        raise Invalid("board_group_required", reason)
    await _check_user_reply(session, actor, scope, fields)
    note = (fields.content, fields.tags, fields.source)
    command = parse_command(fields.content) if scope.board and is_chat(fields.tags) else None
    if scope.board is not None and command is not None:
        check_may_command(actor)
        detail, created = _add_note(session, actor, scope, *note, is_sent=True)
        await boards.run_command(session, actor, scope.board, command, created)
        return detail
    if scope.group is not None:
        outgoing = await _build_group_messages(session, actor, scope.group, fields, base_url)
    else:
        assert scope.board is not None
        outgoing = await _build_board_messages(session, actor, scope.board, fields, base_url)
    detail, created = _add_note(session, actor, scope, *note, is_sent=outgoing is not None)
    await _notify_mentioned_users(session, scope, actor, detail.note)
    if scope.board is not None and isinstance(actor, User) and is_chat(fields.tags):
        await notifications.resolve_chat_questions(session, scope.board)
    await messages.enqueue_messages(session, outgoing or (), new_events=[created])
    return detail


async def set_board_paused(
    session: AsyncSession, user: User, board: Board, *, is_paused: bool
) -> None:
    """Pause or resume the agents of a locked board with a command in its chat.

    Nothing happens if the board is in this state already.
    """
    if is_paused == (board.paused_at is not None):
        return
    command = templates.PAUSE_COMMAND if is_paused else templates.RESUME_COMMAND
    scope = board_scope(board)
    _, created = _add_note(session, user, scope, command, [CHAT_TAG], None, is_sent=True)
    await boards.run_command(session, user, board, command, created)


@dataclass(frozen=True)
class ExternalNote:
    """A note without an author, and its event for the caller to record."""

    note_id: UUID
    event: events.NewEvent


def post_external_note(
    session: AsyncSession,
    board: Board,
    content: str,
    *,
    source: str,
    tags: Sequence[str],
    payload_id: UUID,
) -> ExternalNote:
    """Add a note about the payload of a webhook to the memory of a locked board."""
    scope = board_scope(board)
    detail, created = _add_note(session, None, scope, content, list(tags), source, is_sent=False)
    data = {**(created.data or {}), "payload_id": str(payload_id)}
    return ExternalNote(detail.note.id, replace(created, data=data))


async def update_note(
    session: AsyncSession,
    actor: Actor,
    scope: MemoryScope,
    detail: NoteDetail,
    fields: NoteUpdate,
    *,
    known: KnownVersions = None,
) -> NoteDetail:
    """Update the given fields of a locked note. It is not sent to agents again.

    If no value changes, no event is recorded. Raises Forbidden, and PreconditionFailed if the
    version of the note is not one of the known ones.
    """
    note = detail.note
    was_reply = _is_user_reply(note.tags, note.source)
    check_may_change(actor, note, only_author=was_reply)
    values = fields.changes()
    new_labels = values.get("tags", note.tags), values.get("source", note.source)
    if _is_user_reply(*new_labels) and not was_reply:
        raise _forbidden_user_reply()
    check_version(known, note.version)
    changed = {name: value for name, value in values.items() if value != getattr(note, name)}
    if not changed:
        return detail
    was_chat = note.is_chat
    old_values = {name: getattr(note, name) for name in changed}
    for name, value in changed.items():
        setattr(note, name, value)
    note.is_chat = is_chat(note.tags)
    note.version += 1
    note.updated_at = now()
    data = {"changed": sorted(changed), "was_chat": was_chat}
    updated = _note_event(scope.kind.updated, actor, scope, detail, **data)
    await events.record_events(session, [replace(updated, before=old_values, after=changed)])
    return detail


async def delete_note(
    session: AsyncSession,
    actor: Actor,
    scope: MemoryScope,
    detail: NoteDetail,
    *,
    known: KnownVersions = None,
) -> None:
    """Delete a locked note. Raises Forbidden, and PreconditionFailed like `update_note`."""
    only_author = _is_user_reply(detail.note.tags, detail.note.source)
    check_may_change(actor, detail.note, only_author=only_author)
    check_version(known, detail.note.version)
    await session.delete(detail.note)
    await session.flush()
    key = _build_mention_key(detail.note)
    await notifications.resolve(session, [NotificationKind.MENTION], [key])
    await events.record_events(session, [_note_event(scope.kind.deleted, actor, scope, detail)])


def _add_note(
    session: AsyncSession,
    actor: Actor | None,
    scope: MemoryScope,
    content: str,
    tags: list[str] | None,
    source: str | None,
    *,
    is_sent: bool,
) -> tuple[NoteDetail, events.NewEvent]:
    """Add a note, and return it with its event. A note that is sent to agents has a source."""
    at = now()
    note = scope.kind.note(
        id=new_id(),
        **{scope.kind.scope_field: scope.id},
        content=content,
        tags=tags,
        source=source or (actor.display_name if actor and is_sent else None),
        is_chat=is_chat(tags),
        agent_id=actor.id if isinstance(actor, Agent) else None,
        user_id=actor.id if isinstance(actor, User) else None,
        created_at=at,
        updated_at=at,
    )
    session.add(note)
    agent, user = (actor, None) if isinstance(actor, Agent) else (None, actor)
    detail = NoteDetail(note, agent, user)
    return detail, _note_event(scope.kind.created, actor, scope, detail)


def _note_event(
    type: EventType, actor: Actor | None, scope: MemoryScope, detail: NoteDetail, **data: Any
) -> events.NewEvent:
    note = detail.note
    data = {**scope.event_data, "memory_id": str(note.id), "is_chat": note.is_chat, **data}
    board = scope.board if scope.kind is BOARD_MEMORY else None  # events of a group have none
    organization_id = scope.organization_id
    return events.NewEvent(type, actor, organization_id=organization_id, board=board, data=data)


AgentsWithBoards = Sequence[tuple[Agent, Board]]
"""Agents, each with its board."""


async def _build_board_messages(
    session: AsyncSession, actor: Actor, board: Board, note: NoteCreate, base_url: str
) -> Sequence[messages.OutgoingMessage] | None:
    """Return the messages for a note on a locked board; None if it is not sent to agents.

    The lead and the agents that are mentioned receive every message of the chat.
    """
    if not is_chat(note.tags):
        return None
    recipients = await _list_other_agents(session, actor, Board.id == board.id)
    mentioned = _mentioned_ids(note.content, recipients)
    return [
        messages.OutgoingMessage(
            to=agent,
            content=templates.render_board_chat(
                board,
                sender=actor.display_name,
                content=note.content,
                mentioned=agent.id in mentioned,
                base_url=base_url,
            ),
            board=board,
            sender=actor,
        )
        for agent, _ in recipients
        if agent.is_board_lead or agent.id in mentioned
    ]


async def _build_group_messages(
    session: AsyncSession, actor: Actor, group: BoardGroup, note: NoteCreate, base_url: str
) -> Sequence[messages.OutgoingMessage] | None:
    """Return the messages for a note in a group; None if it is not sent to agents.

    The leads of its boards and the agents that are mentioned receive every message of the chat. A
    broadcast goes to all agents of its boards.
    """
    to_all = is_broadcast(note.content, note.tags)
    if not (to_all or is_chat(note.tags)):
        return None
    in_group = Board.board_group_id == group.id
    recipients = await _list_other_agents(session, actor, in_group)
    mentioned = _mentioned_ids(note.content, recipients)
    return [
        messages.OutgoingMessage(
            to=agent,
            content=templates.render_group_chat(
                group,
                board,
                sender=actor.display_name,
                content=note.content,
                mentioned=agent.id in mentioned,
                broadcast=to_all,
                base_url=base_url,
            ),
            board=board,
            sender=actor,
        )
        for agent, board in recipients
        if to_all or agent.is_board_lead or agent.id in mentioned
    ]


async def _notify_mentioned_users(
    session: AsyncSession, scope: MemoryScope, actor: Actor, note: Note | GroupNote
) -> None:
    """Notify the people who are mentioned in a new note and can read it."""
    if "@" not in note.content:
        return
    if scope.board is not None:
        people = await tasks.load_mentionable_people(session, scope.board)
    else:
        assert scope.group is not None
        ids = {"group_id": scope.group.id, "organization_id": scope.group.organization_id}
        people = list_mentionable_people(*await MENTIONABLE_IN_GROUP.fetch(session, **ids))
    data = {
        "excerpt": cut_excerpt(note.content),
        "is_note": not note.is_chat,
        "memory_id": str(note.id),
    }
    owner = scope.board or scope.group
    assert owner is not None
    mention = NewNotification(
        NotificationKind.MENTION,
        owner.organization_id,
        _build_mention_key(note),
        user_ids=people.find(note.content),
        board=scope.board,
        group=scope.group,
        actor=actor,
        data={"title": owner.name, **data}
        | ({"group_id": str(scope.id)} if scope.group is not None else {}),
    )
    await notifications.notify(session, [mention] if mention.user_ids else [])


def _build_mention_key(note: Note | GroupNote) -> str:
    return f"memory:{note.id}"


GROUP_BOARD_IDS = select(Board.id).where(
    Board.board_group_id == bindparam("group_id", type_=Uuid())
)
MENTIONABLE_IN_GROUP = CombinedQuery(
    boards.build_readers_query(BoardAccess.board_id.in_(GROUP_BOARD_IDS)),
    Query(select(Agent).where(Agent.board_id.in_(GROUP_BOARD_IDS)), itemgetter(0)),
)


def _mentioned_ids(content: str, recipients: AgentsWithBoards) -> set[UUID]:
    agents = list_mentioned_agents(content, [agent for agent, _ in recipients])
    return {agent.id for agent in agents}


async def _list_other_agents(
    session: AsyncSession, actor: Actor, where: ColumnElement[bool]
) -> AgentsWithBoards:
    """Return the agents of the matching boards, except the author."""
    query = select(Agent, Board).join(Board, Board.id == Agent.board_id)
    query = query.where(where, Agent.id != actor.id).order_by(Agent.created_at, Agent.id)
    return [(agent, board) for agent, board in await session.execute(query)]


USER_REPLY_TAG = "user_reply"
USER_REPLY_SOURCE = "user_via_gateway_main"
"""The tag and the source of a reply of a user: a note in which the agent of a gateway brings the
answer to a lead's question. A lead acts on it as on the word of a user, so only an answer to an
open question counts."""


def _is_user_reply(tags: Sequence[Any] | None, source: str | None) -> bool:
    """Return whether a note with these tags and this source claims to be the reply of a user."""
    return USER_REPLY_TAG in (tags or ()) or source == USER_REPLY_SOURCE


async def record_user_question(
    session: AsyncSession, board: Board, main: Agent, correlation_id: str
) -> None:
    """Record that the agent of the board's gateway is asked to ask a user."""
    question = UserQuestionRecord(
        id=new_id(),
        board_id=board.id,
        main_agent_id=main.id,
        correlation_id=correlation_id,
        created_at=now(),
    )
    session.add(question)
    await session.flush()


async def _check_user_reply(
    session: AsyncSession, actor: Actor, scope: MemoryScope, fields: NoteCreate
) -> None:
    """Close the question that a new note answers, if the note claims to be the reply of a user.

    Raises Forbidden unless the actor is the agent of the board's gateway, and Conflict if it was
    not asked that question or has answered it already.
    """
    if not _is_user_reply(fields.tags, fields.source):
        return
    is_asked = (
        isinstance(actor, Agent)
        and actor.board_id is None
        and actor.gateway_id is not None
        and scope.board is not None
        and actor.gateway_id == scope.board.gateway_id
    )
    if scope.board is None or not is_asked:
        raise _forbidden_user_reply()
    answered = update(UserQuestionRecord).where(
        UserQuestionRecord.board_id == scope.board.id,
        UserQuestionRecord.main_agent_id == actor.id,
        UserQuestionRecord.correlation_id == (fields.correlation_id or ""),
        UserQuestionRecord.answered_at.is_(None),
    )
    answered = answered.values(answered_at=now()).returning(UserQuestionRecord.id)
    if not (await session.scalars(answered)).all():
        reason = (
            "No open question of the lead has this correlation_id. Send the correlation_id of the"
            " LEAD REQUEST: ASK USER message that this note answers; each is answered once."
        )
        raise Conflict("user_question_not_open", reason)
    await notifications.resolve_chat_questions(session, scope.board)


def _forbidden_user_reply() -> Forbidden:
    """Build the error for a note that claims to be the reply of a user."""
    reason = (
        f"Only the agent of the board's gateway writes notes with the tag {USER_REPLY_TAG} or the"
        f" source {USER_REPLY_SOURCE}, to answer a question of the lead."
    )
    return Forbidden("user_reply_forbidden", reason)
