"""Writing down what is to be remembered, changing it, and forgetting it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Invalid
from kit.values import checked
from kit.versions import Known, check_version
from models import Actor, Agent, EventType, User, new_id
from services import events, messages
from services.memory import chat
from services.memory.notes import NoteDetail
from services.memory.places import Place
from services.memory.rules import CHECKS, NoteDraft, check_may_change, is_chat, name_of


async def write(
    session: AsyncSession, actor: Actor, place: Place, draft: NoteDraft, *, base_url: str
) -> NoteDetail:
    """Write a note in a place that is held, and tell the agents that it is said to.

    In their messages stands `base_url`, as the address under which they reach the API. Raises
    Invalid with the field, also for a board in no group; Forbidden for a command of a worker.
    """
    fields = checked(CHECKS, vars(draft))
    if place.id is None:
        reason = "This board is in no group, so there is nothing to write to."
        raise Invalid("board_group_required", reason)
    said = chat.Said(actor, fields["content"], fields["tags"], base_url)
    echo = await _echo(session, place, said)
    if echo is not None and not fields["source"]:
        fields["source"] = name_of(actor)
    at = now()
    note = place.kind.note(
        id=new_id(),
        **{place.kind.place: place.id},
        **fields,
        is_chat=is_chat(fields["tags"]),
        agent_id=actor.id if isinstance(actor, Agent) else None,
        user_id=actor.id if isinstance(actor, User) else None,
        created_at=at,
        updated_at=at,
    )
    session.add(note)
    detail = NoteDetail(note, *((actor, None) if isinstance(actor, Agent) else (None, actor)))
    written = _happened(place.kind.created, actor, place, detail)
    echo = echo or chat.Echo()
    await messages.queue(session, echo.drafts, happened=[written, *echo.happened])
    return detail


async def change(
    session: AsyncSession,
    actor: Actor,
    place: Place,
    detail: NoteDetail,
    changes: Mapping[str, object],
    *,
    known: Known = None,
) -> NoteDetail:
    """Change a note that is held; only the fields that are given count. Nobody is told anew.

    A change of nothing is not recorded. Raises Forbidden, Invalid with the field, and
    PreconditionFailed if the note is of another version than those that are known.
    """
    note = detail.note
    check_may_change(actor, note)
    given = checked(CHECKS, changes)
    check_version(known, note.version)
    new = {name: value for name, value in given.items() if value != getattr(note, name)}
    if not new:
        return detail
    was_chat = note.is_chat
    for name, value in new.items():
        setattr(note, name, value)
    note.is_chat = is_chat(note.tags)
    note.version += 1
    note.updated_at = now()
    told = {"changed": sorted(new), "was_chat": was_chat}
    await events.record_all(session, [_happened(place.kind.updated, actor, place, detail, **told)])
    return detail


async def delete(
    session: AsyncSession,
    actor: Actor,
    place: Place,
    detail: NoteDetail,
    *,
    known: Known = None,
) -> None:
    """Delete a note that is held. Raises Forbidden, and PreconditionFailed as `change` does."""
    check_may_change(actor, detail.note)
    check_version(known, detail.note.version)
    await session.delete(detail.note)
    await session.flush()
    await events.record_all(session, [_happened(place.kind.deleted, actor, place, detail)])


async def _echo(session: AsyncSession, place: Place, said: chat.Said) -> chat.Echo | None:
    if place.group is not None:
        return await chat.in_group(session, place.group, said)
    assert place.board is not None
    return await chat.on_board(session, place.board, said)


def _happened(
    type: EventType, actor: Actor, place: Place, detail: NoteDetail, **more: Any
) -> events.Happened:
    note = detail.note
    data = {**place.facts, "memory_id": str(note.id), "is_chat": note.is_chat, **more}
    return events.Happened(type, actor, **place.of_event, data=data)
