"""Create, update and delete notes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Invalid
from core.validation import KnownVersions, check_version, validate_fields
from models import Actor, Agent, Board, EventType, User, new_id
from services import boards, events, messages
from services import notifications as user_notifications
from services.memory import notifications
from services.memory.queries import NoteDetail
from services.memory.rules import (
    CHAT_TAG,
    NOTE_VALIDATORS,
    MemoryScope,
    NoteDraft,
    board_scope,
    check_may_change,
    check_may_command,
    is_chat,
    parse_command,
)
from services.memory.user_replies import check_user_reply, forbidden_user_reply, is_user_reply
from services.messages import templates


async def create_note(
    session: AsyncSession, actor: Actor, scope: MemoryScope, draft: NoteDraft, *, base_url: str
) -> NoteDetail:
    """Create a note on a locked board or group, and send it to the agents that it addresses.

    `base_url` is the address of the API in their messages. Raises Invalid, with the field or for a
    board without a group, and Forbidden for a command of an agent that is not the lead. A reply of
    a user answers an open question: see `check_user_reply`.
    """
    fields = validate_fields(NOTE_VALIDATORS, vars(draft))
    if scope.id is None:
        reason = "This board is in no group, so there is nothing to write to."
        raise Invalid("board_group_required", reason)
    await check_user_reply(session, actor, scope, fields)
    command = parse_command(fields["content"]) if scope.board and is_chat(fields["tags"]) else None
    if scope.board is not None and command is not None:
        check_may_command(actor)
        detail, created = _add_note(session, actor, scope, fields, is_sent=True)
        await boards.run_command(session, actor, scope.board, command, created)
        return detail
    message = notifications.ChatMessage(actor, fields["content"], fields["tags"], base_url)
    outgoing = await _chat_messages(session, scope, message)
    detail, created = _add_note(session, actor, scope, fields, is_sent=outgoing is not None)
    await notifications.notify_mentioned_users(session, scope, actor, detail.note)
    if scope.board is not None and isinstance(actor, User) and is_chat(fields["tags"]):
        await user_notifications.resolve_chat_questions(session, scope.board)
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
    fields = {"content": command, "tags": [CHAT_TAG], "source": None}
    _, created = _add_note(session, user, board_scope(board), fields, is_sent=True)
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
    fields = {"content": content, "tags": list(tags), "source": source}
    detail, created = _add_note(session, None, board_scope(board), fields, is_sent=False)
    data = {**(created.data or {}), "payload_id": str(payload_id)}
    return ExternalNote(detail.note.id, replace(created, data=data))


async def update_note(
    session: AsyncSession,
    actor: Actor,
    scope: MemoryScope,
    detail: NoteDetail,
    changes: Mapping[str, object],
    *,
    known: KnownVersions = None,
) -> NoteDetail:
    """Update the given fields of a locked note. It is not sent to agents again.

    If no value changes, no event is recorded. Raises Forbidden, Invalid with the field, and
    PreconditionFailed if the version of the note is not one of the known ones.
    """
    note = detail.note
    was_reply = is_user_reply(note.tags, note.source)
    check_may_change(actor, note, only_author=was_reply)
    values = validate_fields(NOTE_VALIDATORS, changes)
    new_labels = values.get("tags", note.tags), values.get("source", note.source)
    if is_user_reply(*new_labels) and not was_reply:
        raise forbidden_user_reply()
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
    only_author = is_user_reply(detail.note.tags, detail.note.source)
    check_may_change(actor, detail.note, only_author=only_author)
    check_version(known, detail.note.version)
    await session.delete(detail.note)
    await session.flush()
    await notifications.resolve_mentions(session, detail.note)
    await events.record_events(session, [_note_event(scope.kind.deleted, actor, scope, detail)])


def _add_note(
    session: AsyncSession,
    actor: Actor | None,
    scope: MemoryScope,
    fields: Mapping[str, Any],
    *,
    is_sent: bool,
) -> tuple[NoteDetail, events.NewEvent]:
    """Add a note, and return it with its event. A note that is sent to agents has a source."""
    at = now()
    source = fields["source"] or (actor.display_name if actor and is_sent else None)
    note = scope.kind.note(
        id=new_id(),
        **{scope.kind.scope_field: scope.id},
        content=fields["content"],
        tags=fields["tags"],
        source=source,
        is_chat=is_chat(fields["tags"]),
        agent_id=actor.id if isinstance(actor, Agent) else None,
        user_id=actor.id if isinstance(actor, User) else None,
        created_at=at,
        updated_at=at,
    )
    session.add(note)
    agent, user = (actor, None) if isinstance(actor, Agent) else (None, actor)
    detail = NoteDetail(note, agent, user)
    return detail, _note_event(scope.kind.created, actor, scope, detail)


async def _chat_messages(
    session: AsyncSession, scope: MemoryScope, message: notifications.ChatMessage
) -> Sequence[messages.OutgoingMessage] | None:
    if scope.group is not None:
        return await notifications.group_messages(session, scope.group, message)
    assert scope.board is not None
    return await notifications.board_messages(session, scope.board, message)


def _note_event(
    type: EventType, actor: Actor | None, scope: MemoryScope, detail: NoteDetail, **data: Any
) -> events.NewEvent:
    note = detail.note
    data = {**scope.event_data, "memory_id": str(note.id), "is_chat": note.is_chat, **data}
    return events.NewEvent(type, actor, **scope.event_target, data=data)
