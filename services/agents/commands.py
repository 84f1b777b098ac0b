"""Commands that change, pause and delete an existing agent.

A deleted agent goes at once, or after its gateway has removed it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Source
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.fields import NOT_SENT, Fields, Patch, ShortText, Text
from core.text import N_
from models import (
    Actor,
    Agent,
    AgentStatus,
    Board,
    DesiredState,
    EventType,
    FileAuthor,
    Member,
    User,
)
from services import boards, desired_state, events, identity, messages
from services.agents import rules
from services.agents.creation import AgentFields, check_name_is_free, create_token
from services.agents.events import agent_event, agent_updated_event
from services.agents.file_versions import FileContent, record_file_versions
from services.agents.queries import agent_moved, get_board_agent, lock_agent
from services.agents.rules import DEFAULT_HEARTBEAT, MAX_TOKEN_DAYS
from services.hooks import Hook

SOUL_FILE = "SOUL.md"
"""The file of an agent's workspace that contains its soul."""


class AgentUpdate(AgentFields, Patch):
    """Changes of an agent."""

    example = {"identity_profile": {"role": "Editor"}}
    may_be_empty = True
    descriptions = {"board_id": "Moves the agent; its tasks stay on the board."}

    status: ShortText | None = None  # ty: ignore[incompatible-attribute-override]
    is_gateway_main: bool = NOT_SENT


class SoulUpdate(Fields):
    """A new soul for an agent."""

    component = "SoulUpdateRequest"
    example = {"content": "# Ada\nYou write short sentences.", "reason": "Readers asked for it"}

    content: Text
    source_url: Annotated[
        str | None, Field(max_length=2_000, description="The source of the soul.")
    ] = None
    reason: Annotated[
        str | None, Field(max_length=2_000, description="The reason for the change.")
    ] = None


@dataclass(frozen=True)
class AgentDeparture:
    """An agent that leaves a locked board: it is deleted, or moves to another board."""

    actor: Actor
    board: Board
    agent: Agent


AGENT_DEPARTURE: Hook[AgentDeparture, list[events.NewEvent]] = Hook()
"""An agent is about to leave its board; the returned events are recorded before its own."""


async def update_agent(
    session: AsyncSession, member: Member, agent_id: UUID, fields: AgentUpdate
) -> Agent:
    """Change the given fields of an agent, or move it to another board.

    An agent that moves is unassigned from its tasks and is no longer a lead. A new `soul_template`
    overwrites what the agent has made of the previous one. Nothing is recorded if no value changes.
    Raises NotFound, Forbidden, Invalid and Conflict.
    """
    given = fields.model_fields_set
    if "status" in given:
        raise Forbidden("agent_status_forbidden", "Only the agent itself can report its status.")
    if fields.is_gateway_main:
        reason = N_("There is no gateway for this agent to manage.")
        raise Invalid("gateway_required", reason, field="is_gateway_main", sent_as="text")
    if "board_id" in given and fields.board_id is None:
        raise Invalid(
            "board_required", N_("An agent works on a board."), field="board_id", sent_as="text"
        )
    agent, locked = await lock_agent(session, member, agent_id, other_board_id=fields.board_id)
    values = build_changed_values(agent, fields)
    previous_board = locked[agent.board_id] if agent.board_id else None
    board = locked[fields.board_id] if fields.board_id else previous_board
    is_moved = board is not None and board is not previous_board
    if board is not None and ("name" in values or is_moved):
        name = values.get("name", agent.name)
        await check_name_is_free(session, board, name, except_agent_id=agent.id)
    new_events: list[events.NewEvent] = []
    if is_moved and previous_board:
        departure = AgentDeparture(member.user, previous_board, agent)
        new_events += await AGENT_DEPARTURE.run(session, departure)
    led = agent.is_board_lead
    values = {name: value for name, value in values.items() if getattr(agent, name) != value}
    if not values:
        return agent
    if led and previous_board is not None:  # others are provisioned with it
        others = desired_state.select_mentioning_agents(previous_board, [previous_board.gateway_id])
        await desired_state.lock_agents(session, others)
    old_values = {name: getattr(agent, name) for name in values}
    for name, value in values.items():
        setattr(agent, name, value)
    agent.updated_at = now()
    await session.flush()
    files = [SOUL_FILE] if "soul_template" in values else []
    await _record_soul(session, agent, old_values, FileAuthor.USER, member.user_id)
    await _request_provisioning(session, agent, previous_board, board, led=led, overwrite=files)
    updated = agent_updated_event(member.user, board, agent, sorted(values))
    new_events.append(replace(updated, before=old_values, after=values))
    await events.record_events(session, new_events)
    return agent


def build_changed_values(agent: Agent, fields: AgentUpdate) -> dict[str, Any]:
    """Return the new values of an agent. If it moves to another board, it is not a lead there."""
    values = fields.without({"board_id", "status", "is_gateway_main"}).changes()
    if "heartbeat_config" in values and values["heartbeat_config"] is None:
        values["heartbeat_config"] = dict(DEFAULT_HEARTBEAT)
    if fields.board_id is not None and fields.board_id != agent.board_id:
        values |= {"board_id": fields.board_id, "is_board_lead": False}
    return values


async def _record_soul(
    session: AsyncSession,
    agent: Agent,
    old_values: Mapping[str, Any],
    author: FileAuthor,
    user_id: UUID | None = None,
) -> None:
    """Record the new and the former soul of an agent without files, if the soul was changed.

    On a gateway, the sync records what it writes and what that replaces.
    """
    if agent.gateway_key is not None or "soul_template" not in old_values:
        return
    before = FileContent(SOUL_FILE, old_values["soul_template"] or "", FileAuthor.GATEWAY)
    after = FileContent(SOUL_FILE, agent.soul_template or "", author, user_id)
    versions = [one for one in (before, after) if one.content]
    await record_file_versions(session, agent.id, versions)


async def _request_provisioning(
    session: AsyncSession,
    agent: Agent,
    previous_board: Board | None,
    board: Board | None,
    *,
    led: bool,
    overwrite: Collection[str],
) -> None:
    """Request provisioning of an agent that was changed, or moved to another board.

    If it leads a board, or did so before, the agents of that board are provisioned again as well.
    """
    moved: Sequence[Agent] = ()
    if board is not None and board is not previous_board and (agent.gateway_id or board.gateway_id):
        moved = await desired_state.move_agents(session, Agent.id == agent.id, board.gateway_id)
    # An agent that led its previous board is provisioned with the other agents of that board.
    is_included = led and previous_board is not None and not overwrite
    if agent.gateway_id is not None and not moved and not is_included:
        await desired_state.request_sync(session, Agent.id == agent.id, overwrite=overwrite)
    if led and previous_board is not None:
        await desired_state.request_board_sync(session, previous_board)


async def reprovision_agent(
    session: AsyncSession,
    member: Member,
    agent_id: UUID,
    *,
    wake: bool = False,
    overwrite: bool = False,
) -> Agent:
    """Start provisioning an agent, or its removal from the gateway, from the beginning.

    `wake` starts a turn of the agent afterwards; `overwrite` replaces what it changed in its files.
    Raises NotFound, Forbidden, and Conflict for an agent that is not provisioned by us.
    """
    agent, locked = await lock_agent(session, member, agent_id)
    if agent.desired_state is None:
        reason = N_("This agent is not on a gateway, or Mission Control did not create it there.")
        raise Conflict("agent_not_provisioned", reason)
    if agent.desired_state is DesiredState.GONE:
        await desired_state.request_removal(session, agent)
    else:
        mine = Agent.id == agent.id
        overwritten = desired_state.MANAGED_FILES if overwrite else ()
        await desired_state.request_sync(session, mine, wake=wake, overwrite=overwritten)
    board = locked[agent.board_id] if agent.board_id else None
    requested = agent_updated_event(member.user, board, agent, ["provisioning"])
    await events.record_events(session, [requested])
    return agent


async def issue_token(
    session: AsyncSession,
    member: Member,
    agent_id: UUID,
    *,
    ends_old: bool = False,
    days: int | None = None,
) -> tuple[Agent, str | None]:
    """Create a token for an agent, and return both. Older tokens end when it is first used, or now.

    `days` is the lifetime of this token and of later ones, 0 for none; None leaves it as it is. The
    token of an agent on a gateway is written into its files there, and None is returned. Raises
    NotFound, Forbidden unless the member may change the agent, Invalid about the days, and Conflict
    if it is moved meanwhile.
    """
    if days is not None and not 0 <= days <= MAX_TOKEN_DAYS:
        reason = N_("Choose one of the lifetimes that are offered.")
        raise Invalid("token_lifetime_invalid", reason, field="days")
    agent, locked = await lock_agent(session, member, agent_id)
    token = None
    data: dict[str, object] = {"name": agent.name, "ends_old": ends_old}
    if days is not None:
        agent.token_days = data["days"] = days or None
    if ends_old:
        await identity.end_agent_tokens(session, agent)
    if agent.desired_state is None:
        token = await create_token(session, agent)
    else:
        await session.flush()
        await desired_state.request_sync(session, Agent.id == agent.id, rotate=True)
    await events.record_event(
        session,
        EventType.AGENT_TOKEN_ISSUED,
        member.user,
        organization_id=agent.organization_id,
        board=locked[agent.board_id] if agent.board_id else None,
        subject=agent,
        data=data,
    )
    return agent, token


async def get_soul(source: Source, reader: Agent, board: Board, agent_id: UUID) -> str:
    """Return the soul of an agent of this board, "" if it has none, to its lead or to the agent.

    Raises NotFound and Forbidden.
    """
    agent = await get_board_agent(source, board, agent_id)
    if agent.id != reader.id and not reader.is_board_lead:
        raise Forbidden(
            "soul_read_forbidden",
            "Only the agent itself and the lead of its board can read its soul.",
        )
    return agent.soul_template or ""


async def write_soul(
    session: AsyncSession, lead: Agent, board: Board, agent_id: UUID, fields: SoulUpdate
) -> Agent:
    """Replace the soul of an agent of a locked board. It is plain text and is never executed.

    On the agent's gateway it overwrites what the agent has made of the previous one. Raises
    NotFound, and Invalid for a blank content.
    """
    written = fields.content.strip()
    if not written:
        raise Invalid("blank", N_("Write a text for the soul."))
    agent = await get_board_agent(session, board, agent_id)
    old_soul, agent.soul_template = agent.soul_template, written
    agent.updated_at = now()
    await session.flush()
    await _record_soul(session, agent, {"soul_template": old_soul}, FileAuthor.AGENT)
    if agent.gateway_id is not None:
        await desired_state.request_sync(session, Agent.id == agent.id, overwrite=[SOUL_FILE])
    origin = {"source_url": fields.source_url, "reason": fields.reason}
    data = {"by": lead.name} | {name: text for name, text in origin.items() if text}
    updated = agent_event(EventType.AGENT_SOUL_UPDATED, lead, board, agent, **data)
    soul = {"before": {"soul_template": old_soul}, "after": {"soul_template": written}}
    await events.record_events(session, [replace(updated, **soul)])
    return agent


async def delete_agent(
    session: AsyncSession, user: User, agent_id: UUID, *, force: bool = False
) -> bool:
    """Delete an agent, and return its tasks to the inbox. A missing agent is not an error.

    An agent on a gateway is first removed there, and has the status `deleting` until then. `force`
    deletes it at once and leaves its data on the gateway. Return whether the removal from the
    gateway is still pending. Raises Forbidden unless the user is an admin, and Conflict if the
    agent was moved while waiting for the lock of its board.
    """
    board = await boards.lock_board_of_agent(session, user, agent_id)
    own_organizations = select(Member.organization_id).where(Member.user_id == user.id)
    agent = await _find_agent(session, agent_id, Agent.organization_id.in_(own_organizations))
    if agent is None:
        return False
    if agent.board_id != (board.id if board else None):
        raise agent_moved()
    if board is None:
        mine = select(Member).where(
            Member.user_id == user.id, Member.organization_id == agent.organization_id
        )
        member = await session.scalar(mine)
        if member is None or not member.is_admin:
            raise Forbidden("admin_required", N_("Only an admin of the organization can do that."))
    return await _delete(session, user, board, agent, force=force)


async def delete_worker(session: AsyncSession, lead: Agent, board: Board, agent_id: UUID) -> None:
    """Delete a worker on behalf of the lead of its locked board; otherwise like `delete_agent`.

    Raises Forbidden, and NotFound if the agent works on another board.
    """
    in_organization = Agent.organization_id == lead.organization_id
    agent = await _find_agent(session, agent_id, in_organization)
    if agent is None:
        return
    if not lead.is_board_lead or lead.board_id != board.id:
        raise Forbidden("lead_required", "Only the lead of a board can delete its agents.")
    if agent.board_id is None:
        raise Forbidden(
            "gateway_agent_cannot_be_deleted", "A lead cannot delete the agent of a gateway."
        )
    if agent.board_id != board.id:
        raise NotFound("agent_not_found", N_("There is no such agent on this board."))
    if agent.is_board_lead:
        raise Forbidden("lead_cannot_be_deleted", "Only an admin can delete the lead of a board.")
    await boards.check_agent_may_work(session, board, lead)
    await _delete(session, lead, board, agent)


async def remove_board_agents(
    session: AsyncSession, deletion: boards.BoardDeletion
) -> list[events.NewEvent]:
    """Request the removal of a board's agents from their gateways; their rows go with the board.

    The returned events are also about the messages that the agents did not get.
    """
    actor, board = deletion.actor, deletion.board
    await desired_state.orphan_agents(session, Agent.board_id == board.id)
    failed = await messages.fail_undelivered(session, Agent.board_id == board.id)
    query = select(Agent).where(Agent.board_id == board.id).order_by(Agent.created_at, Agent.id)
    return failed + [
        agent_event(EventType.AGENT_DELETED, actor, board, agent)
        for agent in await session.scalars(query)
    ]


async def _delete(
    session: AsyncSession,
    actor: Actor,
    board: Board | None,
    agent: Agent,
    *,
    force: bool = False,
) -> bool:
    new_events: list[events.NewEvent] = []
    if board is not None:
        new_events += await AGENT_DEPARTURE.run(session, AgentDeparture(actor, board, agent))
    led_board = board if agent.is_board_lead else None
    if led_board is not None:
        await desired_state.lock_agents(session, Agent.board_id == led_board.id)
    new_events += await messages.fail_undelivered(session, Agent.id == agent.id)
    status_before = rules.compute_status(agent, None, now())
    is_removal_pending = await desired_state.request_removal(session, agent, force=force)
    if led_board is not None:
        await desired_state.request_board_sync(session, led_board)
    if not is_removal_pending:
        new_events.append(agent_event(EventType.AGENT_DELETED, actor, board, agent))
    elif status_before != AgentStatus.DELETING:
        status_change = {"from": status_before, "to": AgentStatus.DELETING}
        new_events.append(
            agent_event(EventType.AGENT_STATUS_CHANGED, actor, board, agent, **status_change)
        )
    await events.record_events(session, new_events)
    return is_removal_pending


async def _find_agent(
    session: AsyncSession, agent_id: UUID, condition: ColumnElement[bool]
) -> Agent | None:
    """Return the current row of an agent that meets the condition, or None."""
    query = select(Agent).where(Agent.id == agent_id, condition)
    return await session.scalar(query.execution_options(populate_existing=True))


async def pause_agent(session: AsyncSession, member: Member, agent_id: UUID) -> Agent:
    """Pause an agent: its messages wait, and it takes no tasks, until a person resumes it.

    An agent that a circuit breaker holds is paused instead, a paused one is left unchanged. No
    message is claimed and no task is taken after the commit. Only admins pause agents. Raises
    NotFound and Forbidden.
    """
    agent, locked = await lock_agent(session, member, agent_id)
    await session.refresh(agent, ["held_at", "hold"], with_for_update=True)
    if messages.is_pause(agent.hold):
        return agent
    at = now()
    agent.held_at, agent.hold = agent.held_at or at, messages.build_pause(member.user)
    agent.updated_at = at
    await session.flush()
    await desired_state.request_sync(session, Agent.id == agent.id)
    board = locked[agent.board_id] if agent.board_id else None
    paused = agent_event(EventType.AGENT_PAUSED, member.user, board, agent)
    await events.record_events(session, [paused])
    return agent


async def release_agent(session: AsyncSession, member: Member, agent_id: UUID) -> Agent:
    """Release or resume an agent: its messages are delivered. Another one is left unchanged.

    The circuit breakers count anew from now on. Only admins release agents. Raises NotFound and
    Forbidden.
    """
    agent, locked = await lock_agent(session, member, agent_id)
    await session.refresh(agent, ["held_at", "hold"], with_for_update={"key_share": True})
    since, is_paused = agent.held_at, messages.is_pause(agent.hold)
    if since is None:
        return agent
    agent.held_at = agent.hold = None
    agent.released_at = agent.updated_at = now()
    await session.flush()
    if agent.wants_wake or is_paused:
        await desired_state.request_sync(session, Agent.id == agent.id)
    queued = await messages.release_messages(session, Agent.id == agent.id, since)
    board = locked[agent.board_id] if agent.board_id else None
    type = EventType.AGENT_RESUMED if is_paused else EventType.AGENT_RELEASED
    released = agent_event(type, member.user, board, agent)
    await events.record_events(session, [released, *queued])
    return agent
