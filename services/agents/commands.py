"""Commands that change an existing agent: fields, board, provisioning, token and soul."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Source
from core.errors import Conflict, Forbidden, Invalid
from core.text import N_
from core.validation import optional, text_of_length
from models import Agent, Board, DesiredState, EventType, FileAuthor, Member
from services import desired_state, events, identity
from services.agents.creation import check_name_is_free, create_token
from services.agents.deletion import AGENT_DEPARTURE, AgentDeparture
from services.agents.events import agent_event, agent_updated_event
from services.agents.file_versions import FileContent, record_file_versions
from services.agents.queries import get_board_agent, lock_agent
from services.agents.rules import MAX_TOKEN_DAYS, build_changed_values, validate_template

MAX_REASON_LENGTH = 2_000  # characters

SOUL_FILE = "SOUL.md"
"""The file of an agent's workspace that contains its soul."""

_validate_reason = optional(text_of_length(MAX_REASON_LENGTH))


async def update_agent(
    session: AsyncSession, member: Member, agent_id: UUID, changes: Mapping[str, Any]
) -> Agent:
    """Change an agent, or move it to another board. Only the keys that are present count.

    An agent that moves is unassigned from its tasks and is no longer a lead. A new `soul_template`
    overwrites what the agent has made of the previous one. Nothing is recorded if no value changes.
    Raises NotFound, Forbidden, Invalid and Conflict.
    """
    target_id = _target_board_id(changes)
    agent, locked = await lock_agent(session, member, agent_id, other_board_id=target_id)
    values = build_changed_values(agent, changes)
    previous_board = locked[agent.board_id] if agent.board_id else None
    board = locked[target_id] if target_id else previous_board
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


def _target_board_id(changes: Mapping[str, Any]) -> UUID | None:
    """Return the id of the board that the agent is to be moved to, or None."""
    if "status" in changes:
        raise Forbidden("agent_status_forbidden", "An agent's status is what it reports.")
    if changes.get("is_gateway_main"):
        raise Invalid(
            "gateway_required",
            N_("There is no gateway for this agent to manage."),
            field="is_gateway_main",
        )
    if "board_id" in changes and changes["board_id"] is None:
        raise Invalid("board_required", N_("An agent works on a board."), field="board_id")
    return changes.get("board_id")


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
        reason = N_("This agent is on no gateway, or others brought it there.")
        raise Conflict("agent_not_brought", reason)
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
        raise Forbidden("soul_read_forbidden", "A soul is read by its agent and the board's lead.")
    return agent.soul_template or ""


async def write_soul(
    session: AsyncSession,
    lead: Agent,
    board: Board,
    agent_id: UUID,
    content: str,
    *,
    source_url: str | None = None,
    reason: str | None = None,
) -> Agent:
    """Replace the soul of an agent of a locked board. It is plain text and is never executed.

    On the agent's gateway it overwrites what the agent has made of the previous one. Raises
    NotFound, and Invalid for the content.
    """
    written = validate_template(content, "content")
    if written is None:
        raise Invalid("blank", N_("Fill this in."))
    origin = {
        "source_url": _validate_reason(source_url, "source_url"),
        "reason": _validate_reason(reason, "reason"),
    }
    agent = await get_board_agent(session, board, agent_id)
    old_soul, agent.soul_template = agent.soul_template, written
    agent.updated_at = now()
    await session.flush()
    await _record_soul(session, agent, {"soul_template": old_soul}, FileAuthor.AGENT)
    if agent.gateway_id is not None:
        await desired_state.request_sync(session, Agent.id == agent.id, overwrite=[SOUL_FILE])
    data = {"by": lead.name} | {k: v for k, v in origin.items() if v}
    updated = agent_event(EventType.AGENT_SOUL_UPDATED, lead, board, agent, **data)
    soul = {"before": {"soul_template": old_soul}, "after": {"soul_template": written}}
    await events.record_events(session, [replace(updated, **soul)])
    return agent
