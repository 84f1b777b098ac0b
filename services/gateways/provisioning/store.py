"""The rows of provisioning: agents, orphans and tokens, in short transactions.

A row is changed only if it is still as it was loaded: a request may have changed it, or another
process may work on it.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Update,
    Uuid,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.security.encryption import DecryptionError, SecretCipher
from core.security.secrets import generate_token, hash_token, token_prefix
from models import (
    WITHOUT_HEARTBEAT_KEY,
    Agent,
    AgentStatus,
    AgentToken,
    DesiredState,
    ProvisioningStep,
    build_encryption_context,
    new_id,
)
from openclaw import ErrorKind
from services import boards, events, messages, organizations
from services.desired_state import (
    STEP_TIMEOUTS,
    ColumnChanges,
    lock_agents,
    request_sync,
)

LOST_AFTER = timedelta(seconds=90)  # without being listed: two rosters in a row have missed it

DISCONNECT_CODES = [kind.value for kind in (ErrorKind.CLOSED, ErrorKind.RESTARTING)]

IS_MANAGED = Agent.desired_state.is_not(None) & Agent.is_linked.is_(False)
ENCRYPTED_TOKENS: Query[AgentToken] = Query(
    select(AgentToken).where(
        AgentToken.agent_id == func.any(bindparam("agent_ids", type_=ARRAY(Uuid()))),
        AgentToken.encrypted_token.is_not(None),
    ),
    itemgetter(0),
)


async def compare_and_set(
    session: AsyncSession, agent: Agent, columns: ColumnChanges
) -> Agent | None:
    """Change an agent's row and return it; None if the row is not as it was loaded."""
    changed = update(Agent).where(_unchanged_condition(agent)).values(**columns).returning(Agent)
    return await session.scalar(_without_session_sync(changed))


async def delete_removed_agent(session: AsyncSession, agent: Agent) -> list[events.NewEvent] | None:
    """Delete the row of an agent that its gateway has removed, unless the row has changed.

    Return the events about the messages that it did not get; None if it has changed.
    """
    failed = await messages.fail_undelivered(session, _unchanged_condition(agent))
    deleted = delete(Agent).where(_unchanged_condition(agent)).returning(Agent.id)
    return None if await session.scalar(deleted) is None else failed


async def record_listed_agents(
    session: AsyncSession, gateway_id: UUID, keys: Collection[str], moment: datetime
) -> Sequence[Agent]:
    """Record that a gateway lists these agents; return those that are online again by that."""
    is_listed = (Agent.gateway_id == gateway_id) & Agent.gateway_key.in_(keys)
    board_ids = (await session.scalars(select(Agent.board_id).where(is_listed).distinct())).all()
    kept = await boards.block_board_deletions(session, board_ids)
    is_listed &= Agent.board_id.is_(None) | Agent.board_id.in_(kept)
    is_listed &= Agent.desired_state.is_distinct_from(DesiredState.GONE)
    ids = await lock_agents(session, is_listed)
    is_listed = Agent.id == func.any(literal(ids, ARRAY(Uuid())))
    statement = update(Agent).where(is_listed).values(listed_at=moment)
    await session.execute(_without_session_sync(statement))
    is_silent = (Agent.status == AgentStatus.OFFLINE) & Agent.provision_failure.is_(None)
    was_online = Agent.last_seen_at.is_not(None) & (Agent.observed_generation > 0)
    statement = update(Agent).where(is_listed & is_silent & was_online)
    online = statement.values(status=AgentStatus.ONLINE).returning(Agent)
    return (await session.scalars(_without_session_sync(online))).all()


async def list_missing_agents(
    session: AsyncSession, gateway_id: UUID, keys: Collection[str]
) -> Sequence[Agent]:
    """Return the agents without pending steps that a gateway had and does not list now."""
    is_missing = IS_MANAGED & (Agent.gateway_id == gateway_id) & Agent.gateway_key.not_in(keys)
    is_idle = (Agent.desired_state == DesiredState.RUNNING) & or_(
        Agent.step.is_(None), Agent.step == ProvisioningStep.CHECK_IN
    )
    was_listed = Agent.listed_at.is_not(None)
    return (await session.scalars(select(Agent).where(is_missing, is_idle, was_listed))).all()


async def take_over_gateway(session: AsyncSession, gateway_id: UUID, moment: datetime) -> None:
    """Extend the deadlines that passed or are about to pass, while no process worked on them.

    Agents that were set up with a heartbeat in their entry are synced. Those with an earlier step
    are not: they lose it when they come to that of their entry.
    """
    until = moment + STEP_TIMEOUTS[ProvisioningStep.CREATE]
    is_here = Agent.gateway_id == gateway_id
    await lock_agents(session, IS_MANAGED & is_here)
    await session.execute(
        _deadline_update(IS_MANAGED & is_here & (Agent.step_deadline_at < until), until)
    )
    later = (ProvisioningStep.SCRATCH, ProvisioningStep.WAKE, ProvisioningStep.CHECK_IN)
    is_set_up = or_(Agent.step.is_(None), Agent.step.in_(later))
    state = type_coerce(Agent.provisioning_state, JSONB)
    await request_sync(session, is_here & is_set_up & ~state.has_key(WITHOUT_HEARTBEAT_KEY))


async def resume_steps(
    session: AsyncSession, gateway_id: UUID, moment: datetime, after: timedelta
) -> None:
    """Extend all deadlines at a gateway by the time for which it was unreachable.

    Failed steps are retried now, because the gateway may be repaired, except those during which it
    disconnected itself: it may do so again.
    """
    is_here = IS_MANAGED & (Agent.gateway_id == gateway_id)
    await lock_agents(session, is_here)
    has_deadline = is_here & Agent.step_deadline_at.is_not(None)
    await session.execute(_deadline_update(has_deadline, Agent.step_deadline_at + after))
    has_failed = is_here & Agent.provision_failure["code"].astext.not_in(DISCONNECT_CODES)
    statement = update(Agent).where(has_failed, Agent.next_step_at > moment)
    statement = statement.values(next_step_at=moment)
    await session.execute(_without_session_sync(statement))


async def ensure_tokens(
    session: AsyncSession, cipher: SecretCipher, agents: Sequence[Agent]
) -> dict[UUID, tuple[Agent, str]]:
    """Return agents as they are now, by id, each with the token that belongs into its files.

    An agent without a token, or with one that has expired or cannot be decrypted, gets a new one.
    The old one stays valid until the new one is used. Agents whose rows have changed meanwhile are
    left out.
    """
    known = await load_tokens(session, cipher, agents)
    found = {}
    for agent in sorted(agents, key=lambda one: (one.board_id is None, one.board_id, one.id)):
        fresh, token = agent, known.get(agent.id)
        if token is None:
            fresh, token = await _issue_token(session, cipher, agent)
        if fresh is not None:
            found[agent.id] = fresh, token
    return found


async def load_tokens(
    source: Source, cipher: SecretCipher, agents: Sequence[Agent]
) -> dict[UUID, str]:
    """Return the token that belongs into each agent's files, if it is valid and decryptable."""
    found = await ENCRYPTED_TOKENS.fetch(source, agent_ids=[agent.id for agent in agents])
    at = now()
    rows = {
        str(token.id): token for token in found if token.expires_at is None or token.expires_at > at
    }
    tokens: dict[UUID, str] = {}
    for agent in agents:
        row = rows.get(agent.provisioning_state.token_id or "")
        if row is not None:
            with suppress(DecryptionError):
                context = token_encryption_context(row.id)
                tokens[agent.id] = cipher.decrypt(row.encrypted_token or "", context).decode()
    return tokens


async def _issue_token(
    session: AsyncSession, cipher: SecretCipher, agent: Agent
) -> tuple[Agent | None, str]:
    """Create a token, and record that it is the one that belongs into the agent's files."""
    id, token = new_id(), generate_token("agent")
    state = replace(agent.provisioning_state, token_id=str(id))
    at = now()
    columns = {"provisioning_state": state, "token_expires_at": agent.compute_token_end(at)}
    fresh = await compare_and_set(session, agent, columns)
    if fresh is not None:
        row = AgentToken(
            id=id,
            agent_id=agent.id,
            prefix=token_prefix(token),
            secret_hash=hash_token(token),
            encrypted_token=cipher.encrypt(token, token_encryption_context(id)),
            created_at=at,
            expires_at=agent.compute_token_end(at),
        )
        session.add(row)
        await session.flush()
    return fresh, token


def token_encryption_context(token_id: UUID) -> str:
    """Return the context that ties an encrypted token to its row."""
    return build_encryption_context(AgentToken.encrypted_token, id=token_id)


def _deadline_update(where: ColumnElement[bool], until: Any) -> Update:
    """Build the update that moves deadlines, including the check-in of agents that were woken."""

    def if_check_in(column: Any) -> ColumnElement[Any]:
        return case((Agent.step == ProvisioningStep.CHECK_IN, until), else_=column)

    moved = {
        "step_deadline_at": until,
        "next_step_at": if_check_in(Agent.next_step_at),
        "checkin_deadline_at": if_check_in(Agent.checkin_deadline_at),
    }
    statement = update(Agent).where(where).values(**moved)
    return _without_session_sync(statement)


def _unchanged_condition(agent: Agent) -> ColumnElement[bool]:
    """Return a condition for an agent's row, unless it has changed since it was loaded.

    The board is kept before the row is locked: notifications about the agent refer to it.
    """
    return (
        (Agent.id == agent.id)
        & organizations.build_keeping_condition(agent.id)
        & Agent.gateway_id.is_not_distinct_from(agent.gateway_id)
        & (Agent.generation == agent.generation)
        & Agent.step.is_not_distinct_from(agent.step)
        & Agent.next_step_at.is_not_distinct_from(agent.next_step_at)
    )


def _without_session_sync(statement: Update) -> Update:
    return statement.execution_options(synchronize_session=False, populate_existing=True)
