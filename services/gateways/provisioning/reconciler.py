"""The gateway job that makes the agents on a gateway what they should be.

It uses the existing connection to the gateway and executes one step of each agent at a time, in
passes. It may be stopped at any point: another process continues. If two run at once, each step is
executed once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import ReadFactory
from core.security.encryption import SecretCipher
from models import (
    Agent,
    AgentStatus,
    EventType,
    Gateway,
    OrphanedGatewayAgent,
    ProvisioningState,
    ProvisioningStep,
)
from openclaw import GatewayClient, GatewayError, GatewayEvent, poll_events
from openclaw import api as gateway_api
from services import agents, desired_state, events, messages
from services.gateways import files
from services.gateways.files import AgentFacts
from services.gateways.provisioning import state_machine, steps, store
from services.gateways.provisioning.config_entries import is_configured
from services.gateways.provisioning.config_log import ConfigLog
from services.gateways.provisioning.failures import (
    KEY_TAKEN_FAILURE,
    NOT_LISTED_FAILURE,
    STILL_CREATING_FAILURE,
    UNEXPECTED_FAILURE,
    StepFailure,
    step_failure_of,
)
from services.gateways.provisioning.state_machine import Transition
from services.gateways.provisioning.steps import (
    AgentRoster,
    StepContext,
    StepDone,
    StepOutcome,
)
from services.gateways.provisioning.workload import (
    LAST_GATEWAY_STEP,
    NEXT_DUE_TIME,
    STEPS_OF_LISTED_AGENTS,
    DueAgent,
    GatewayWorkload,
    get_call_semaphore,
    load_workload,
    should_wait_for_others,
)

POLL_INTERVAL = 5.0  # seconds, while agents have steps: their calls are not notifications
IDLE_POLL_INTERVAL = 30.0  # seconds, if nothing is planned and no notification arrives
DEBOUNCE = 0.2  # seconds in which several notifications become one
MIN_PASS_INTERVAL = 0.02  # seconds between two passes, however much is due
CONFIG_INTERVAL = 10.0  # seconds between two reads of the config
ROSTER_INTERVAL = timedelta(seconds=60)  # between two records of the agents that a gateway lists

STEPS_WITH_FACTS = (ProvisioningStep.CREATE, ProvisioningStep.FILES, ProvisioningStep.WAKE)

LOCAL_STEPS = (ProvisioningStep.WAKE, ProvisioningStep.CHECK_IN)
"""Steps without calls of the gateway: the message worker delivers the wake message."""

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class Reconciler:
    """A gateway job: reconciles the agents of each gateway with their desired state."""

    def __init__(
        self,
        open_transaction: TransactionFactory,
        open_read: ReadFactory,
        listener: PostgresListener,
        cipher: SecretCipher,
        base_url: str,
        *,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._open_transaction = open_transaction
        self._open_read = open_read
        self._listener = listener
        self._cipher = cipher
        self._base_url = base_url
        self._clock = clock
        self._roster_recorded_at: dict[UUID, datetime] = {}

    async def __call__(self, gateway: Gateway, client: GatewayClient) -> None:
        """Work for a gateway until cancelled. Deadlines do not pass while it is unreachable."""
        await self.take_over(gateway.id)
        with self._listener.subscribe(str(gateway.organization_id)) as notified:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.watch_config(gateway.id, client, notified))
                group.create_task(self._reconcile_until_cancelled(gateway.id, client, notified))

    async def watch_config(
        self, gateway_id: UUID, client: GatewayClient, notified: asyncio.Event
    ) -> None:
        """Find out whether the config is valid, and read the roster when it was changed.

        A gateway announces a change that it uses. It does not announce that it ignores one.
        """

        async def check_config(_is_missed: bool) -> None:
            client.capabilities.learn_config((await gateway_api.get_config(client)).problem)

        async def handle_change(_event: GatewayEvent) -> None:
            self._roster_recorded_at.pop(gateway_id, None)
            notified.set()
            await check_config(False)

        await poll_events(
            client,
            ("config.changed",),
            load_all=check_config,
            handle_event=handle_change,
            interval=CONFIG_INTERVAL,
            retry_delay=lambda _error: POLL_INTERVAL,
        )

    async def _reconcile_until_cancelled(
        self, gateway_id: UUID, client: GatewayClient, notified: asyncio.Event
    ) -> None:
        while True:
            if not client.is_connected:
                since = self._clock()
                await client.wait_connected()
                await self.resume(gateway_id, self._clock() - since)
            notified.clear()
            next_at = await self.reconcile(gateway_id, client)
            wait_time = IDLE_POLL_INTERVAL
            if next_at is not None:
                seconds = (next_at - self._clock()).total_seconds()
                wait_time = min(max(seconds, MIN_PASS_INTERVAL), POLL_INTERVAL)
            with suppress(TimeoutError):
                await asyncio.wait_for(notified.wait(), wait_time)
                await asyncio.sleep(DEBOUNCE)

    async def take_over(self, gateway_id: UUID) -> None:
        """Extend the deadlines that passed while nobody worked for a gateway.

        Agents whose entries may still have heartbeats there are synced.
        """
        async with self._open_transaction() as session:
            await store.take_over_gateway(session, gateway_id, self._clock())

    async def resume(self, gateway_id: UUID, after: timedelta) -> None:
        """Continue with a gateway after it was unreachable for some time, which does not count."""
        async with self._open_transaction() as session:
            await store.resume_steps(session, gateway_id, self._clock(), after)

    async def reconcile(self, gateway_id: UUID, client: GatewayClient) -> datetime | None:
        """Execute the next step of each due agent; return when more will be due."""
        moment = self._clock()
        recorded_at = self._roster_recorded_at.get(gateway_id)
        is_time = recorded_at is None or abs(moment - recorded_at) >= ROSTER_INTERVAL
        workload = await self._load_workload(gateway_id, moment)
        one_pass = ReconcilePass(self._open_transaction, client, workload, self._clock)
        await one_pass.run_local_steps()
        await one_pass.send_heartbeats()
        needs_gateway = any(one.agent.step not in LOCAL_STEPS for one in workload.due)
        if is_time or workload.orphans or needs_gateway:
            is_recorded = await one_pass.run_gateway_steps(record_roster=is_time)
            self._roster_recorded_at |= {gateway_id: moment} if is_recorded else {}
        is_busy = workload.due or workload.orphans or workload.heartbeats
        return moment if is_busy else workload.next_at

    async def _load_workload(self, gateway_id: UUID, moment: datetime) -> GatewayWorkload:
        """Load what is due; a transaction is opened only if something is."""
        async with self._open_read() as source:
            [next_at] = await NEXT_DUE_TIME.fetch(source, gateway_id=gateway_id)
        if next_at is None or next_at > moment:
            return GatewayWorkload(gateway_id, next_at)
        async with self._open_transaction() as session:
            workload = await load_workload(session, gateway_id, moment)
            facts = await self._load_facts(session, [one.agent for one in workload.heartbeats], {})
            heartbeats = [replace(one, facts=facts[one.agent.id]) for one in workload.heartbeats]
            due = await self._prepare_due_agents(session, workload.due)
            return replace(workload, due=due, heartbeats=heartbeats)

    async def _prepare_due_agents(
        self, session: AsyncSession, due: Sequence[DueAgent]
    ) -> Sequence[DueAgent]:
        """Load the facts that the steps of due agents need, with tokens for their files."""
        with_files = [one.agent for one in due if one.agent.step is ProvisioningStep.FILES]
        tokens = await store.ensure_tokens(session, self._cipher, with_files) if with_files else {}
        prepared = [
            replace(one, agent=tokens[one.agent.id][0]) if one.agent.id in tokens else one
            for one in due
            if one.agent.step is not ProvisioningStep.FILES
            or one.agent.id in tokens  # otherwise its row has changed meanwhile
        ]
        readers = [one.agent for one in prepared if one.agent.step in STEPS_WITH_FACTS]
        token_of = {id: token for id, (_, token) in tokens.items()}
        facts = await self._load_facts(session, readers, token_of)
        return [replace(one, facts=facts.get(one.agent.id)) for one in prepared]

    async def _load_facts(
        self, session: AsyncSession, readers: Sequence[Agent], tokens: Mapping[UUID, str]
    ) -> Mapping[UUID, AgentFacts]:
        """Return what files and messages of these agents say.

        Agents call us at the stored address, or at that of this process if none is stored. It is
        read each time, because a process can run longer than its address is valid.
        """
        if not readers:
            return {}
        address = await files.find_public_address(session) or self._base_url
        return await files.load_facts(session, readers, base_url=address, tokens=tokens)


class ReconcilePass:
    """One pass. No transaction is open while the gateway is called."""

    def __init__(
        self,
        open_transaction: TransactionFactory,
        client: GatewayClient,
        workload: GatewayWorkload,
        clock: Callable[[], datetime],
    ) -> None:
        self._open_transaction = open_transaction
        self._client = client
        self._workload = workload
        self._clock = clock
        self._slots = get_call_semaphore(workload.gateway_id)
        self._log = ConfigLog(open_transaction, workload.gateway_id, clock)

    async def run_local_steps(self) -> None:
        """Execute the steps that do not need the gateway: wake agents, evaluate check-ins.

        A woken agent that has not checked in is woken again, or fails.
        """
        for one in self._workload.due:
            if one.agent.step is ProvisioningStep.WAKE:
                await self._wake(one)
            elif one.agent.step is ProvisioningStep.CHECK_IN:
                is_back = state_machine.has_checked_in(one.agent)
                follow = (
                    state_machine.complete_step if is_back else state_machine.retry_wake_or_fail
                )
                await self._apply(one.agent, follow(one.agent, self._clock()))

    async def send_heartbeats(self) -> None:
        """Enqueue the heartbeat messages that are due, and plan the next ones."""
        for one in self._workload.heartbeats:
            agent, text = one.agent, self._render(files.render_heartbeat, one.facts)
            next_at = plan_heartbeat(agent, self._clock())
            is_due = (Agent.id == agent.id) & (Agent.next_heartbeat_at == agent.next_heartbeat_at)
            advanced = update(Agent).where(is_due).values(next_heartbeat_at=next_at)
            async with self._open_transaction() as session:
                # Another process may have been faster.
                is_first = await session.scalar(advanced.returning(Agent.id)) is not None
                is_sent = is_first and next_at is not None and not one.is_left_out
                if is_sent and isinstance(text, str):
                    await messages.enqueue_messages(session, [heartbeat_message(agent, text)])

    async def run_gateway_steps(self, *, record_roster: bool) -> bool:
        """Execute the other steps, one of each agent, while the connection lasts.

        Returns whether the roster was recorded, if requested.
        """
        due = [one for one in self._workload.due if one.agent.step not in LOCAL_STEPS]
        roster = await self._call_gateway(lambda: AgentRoster.load(self._client))
        if isinstance(roster, StepFailure):
            for one in due:
                await self._record_outcome(one, roster)
            for orphan in self._workload.orphans:
                await self._postpone_orphan(orphan, roster)
            return False
        if record_roster:
            await self._record_roster(roster)
        for orphan in self._workload.orphans:
            await self._remove_orphan(roster, orphan)
        heartbeats = [  # executed together, by one change of the configuration
            one
            for one in due
            if one.agent.step is ProvisioningStep.HEARTBEAT and roster.has(one.agent)
        ]
        for one in due:
            if one not in heartbeats and self._client.is_connected:
                await self._run_step(one, roster)
        is_early = should_wait_for_others([one.agent for one in due], self._clock())
        if heartbeats and not is_early and self._client.is_connected:
            await self._configure_agents(heartbeats)
        return record_roster

    async def _record_roster(self, roster: AgentRoster) -> None:
        """Record which agents the gateway lists, and create lost ones again."""
        moment, gateway_id, keys = self._clock(), self._workload.gateway_id, roster.names.keys()
        async with self._open_transaction() as session:
            back = await store.record_listed_agents(session, gateway_id, keys, moment)
            missing = await store.list_missing_agents(session, gateway_id, keys)
            change = {"from": AgentStatus.OFFLINE.value, "to": AgentStatus.ONLINE.value}
            is_online = EventType.AGENT_STATUS_CHANGED
            await events.record_events(
                session, [_agent_event(is_online, one, **change) for one in back]
            )
        if not missing:
            return
        lost = await self._list_lost_agents(missing, moment)
        for agent in lost:
            await self._apply(agent, state_machine.recreate_lost_agent(agent, moment))

    async def _list_lost_agents(
        self, missing: Sequence[Agent], moment: datetime
    ) -> Sequence[Agent]:
        """Return those that are certainly lost: not configured any more, or missing for long.

        A gateway that is busy can list an agent late.
        """
        config = await self._call_gateway(lambda: gateway_api.get_config(self._client))
        is_known = not isinstance(config, StepFailure) and not config.problem
        parsed = config.parsed if is_known and config.parsed else None  # empty: not in the answer
        long_ago = moment - store.LOST_AFTER
        return [
            agent
            for agent in missing
            if (agent.listed_at and agent.listed_at < long_ago)
            or (parsed is not None and not is_configured(agent, parsed))
        ]

    async def _run_step(self, one: DueAgent, roster: AgentRoster) -> None:
        """Execute a step of a single agent."""
        step = one.agent.step
        if step is ProvisioningStep.REMOVE:
            await self._remove(one, roster)
        elif step in STEPS_OF_LISTED_AGENTS and not roster.has(one.agent):
            await self._handle_missing(one)
        elif step is ProvisioningStep.CREATE and one.agent.gateway_key in self._workload.taken_keys:
            await self._record_outcome(one, KEY_TAKEN_FAILURE)
        else:
            outcome = await self._execute_step(one, roster)
            if step is LAST_GATEWAY_STEP and not isinstance(outcome, StepFailure):
                self._client.capabilities.forget_failure()
            await self._record_outcome(one, outcome)

    async def _execute_step(self, one: DueAgent, roster: AgentRoster) -> StepOutcome:
        async def record_intent(
            state: ProvisioningState, versions: Sequence[agents.FileContent]
        ) -> bool:
            async with self._open_transaction() as session:
                columns = {"provisioning_state": state}
                changed = await store.compare_and_set(session, one.agent, columns)
                if changed is not None:
                    await agents.record_file_versions(session, changed.id, versions)
                return changed is not None

        context = StepContext(
            one.agent,
            self._client,
            roster,
            one.facts,
            record_intent,
            self._log.record,
            is_paused=one.is_paused,
        )
        execute = steps.STEPS[one.agent.step or ProvisioningStep.CREATE]
        return await self._call_gateway(lambda: execute(context))

    async def _configure_agents(self, due: Sequence[DueAgent]) -> None:
        configured = [one.agent for one in due]
        outcomes = await self._call_gateway(
            lambda: steps.configure_agents(self._client, configured, self._log.record)
        )
        if isinstance(outcomes, StepFailure):
            outcomes = [outcomes] * len(due)
        for one, outcome in zip(due, outcomes, strict=True):
            await self._record_outcome(one, outcome)

    async def _wake(self, one: DueAgent) -> None:
        """Enqueue the message that starts an agent; it has to check in by the deadline."""
        if one.is_paused:
            await self._apply(one.agent, Transition(desired_state.clear_step()))
            return
        text = self._render(files.render_first_message, one.facts)
        if isinstance(text, StepFailure):
            await self._record_outcome(one, text)
            return
        async with self._open_transaction() as session:
            columns = state_machine.complete_step(one.agent, self._clock()).columns
            if await store.compare_and_set(session, one.agent, columns) is not None:
                await messages.enqueue_messages(session, [wake_message(one.agent, text)])

    async def _remove(self, one: DueAgent, roster: AgentRoster) -> None:
        """Remove an agent from the gateway, then delete its row."""
        key = one.agent.gateway_key or ""
        result = await self._remove_from_gateway(roster, key, one.agent)
        if result is False and state_machine.may_still_be_created(one.agent, self._clock()):
            result = STILL_CREATING_FAILURE
        if isinstance(result, StepFailure):
            await self._record_outcome(one, result)
            return
        async with self._open_transaction() as session:
            failed = await store.delete_removed_agent(session, one.agent)
            await self._log.confirm_removal(session, key)
            if failed is not None:
                removed = _agent_event(EventType.AGENT_DELETED, one.agent)
                await events.record_events(session, [*failed, removed])

    async def _remove_orphan(self, roster: AgentRoster, orphan: OrphanedGatewayAgent) -> None:
        """Remove from the gateway an agent whose row is deleted."""
        async with self._open_transaction() as session:
            if await session.get(OrphanedGatewayAgent, orphan.id) is None:
                return
        key = orphan.agent_key
        result = await self._remove_from_gateway(roster, key)
        created_until = orphan.created_at + state_machine.CREATION_TIMEOUT
        if result is False and self._clock() < created_until:
            result = STILL_CREATING_FAILURE
        if isinstance(result, StepFailure):
            await self._postpone_orphan(orphan, result)
            return
        async with self._open_transaction() as session:
            is_it = OrphanedGatewayAgent.id == orphan.id
            await session.execute(delete(OrphanedGatewayAgent).where(is_it))
            await self._log.confirm_removal(session, key)

    async def _remove_from_gateway(
        self, roster: AgentRoster, key: str, agent: Agent | None = None
    ) -> bool | StepFailure:
        return await self._call_gateway(
            lambda: steps.remove_agent(
                self._client, roster, key, agent=agent, record_writes=self._log.record
            )
        )

    async def _postpone_orphan(self, orphan: OrphanedGatewayAgent, failure: StepFailure) -> None:
        delay = timedelta(seconds=state_machine.retry_delay(orphan.attempts + 1))
        until = self._clock() + delay
        statement = update(OrphanedGatewayAgent).where(OrphanedGatewayAgent.id == orphan.id)
        failed = {"attempts": OrphanedGatewayAgent.attempts + 1, "last_error": failure.reason}
        async with self._open_transaction() as session:
            await session.execute(statement.values(**failed, next_try_at=until))

    async def _handle_missing(self, one: DueAgent) -> None:
        """Retry with an agent that is not listed any more; create it again after the deadline."""
        deadline = one.agent.step_deadline_at
        if deadline is None or self._clock() >= deadline:
            transition = state_machine.recreate_lost_agent(one.agent, self._clock())
            await self._apply(one.agent, transition)
        else:
            await self._record_outcome(one, NOT_LISTED_FAILURE)

    async def _record_outcome(self, one: DueAgent, outcome: StepOutcome) -> None:
        """Record the outcome of a step: continue, or schedule a retry."""
        moment = self._clock()
        if isinstance(outcome, StepDone):
            transition = state_machine.complete_step(one.agent, moment, is_paused=one.is_paused)
            step, before = one.agent.step, one.agent.provisioning_state.step_times
            assert step is not None
            kept = {} if step is ProvisioningStep.CREATE else before
            state = replace(outcome.state, step_times={**kept, step.value: moment})
            transition = transition.with_columns(provisioning_state=state)
            if one.agent.step is LAST_GATEWAY_STEP:
                next_at = plan_heartbeat(one.agent, moment)
                transition = transition.with_columns(next_heartbeat_at=next_at)
            await self._apply(one.agent, transition, confirms=True)
        elif isinstance(outcome, StepFailure):
            await self._apply(one.agent, state_machine.schedule_retry(one.agent, moment, outcome))

    async def _apply(self, agent: Agent, transition: Transition, *, confirms: bool = False) -> None:
        async with self._open_transaction() as session:
            new_events = await self._apply_in(session, agent, transition)
            if confirms:
                await self._log.confirm_step(session, agent)
            await events.record_events(session, new_events)

    async def _apply_in(
        self, session: AsyncSession, agent: Agent, transition: Transition
    ) -> list[events.NewEvent]:
        """Apply a transition unless the row has changed, and return its event to be recorded."""
        new_events = []
        if transition.event is not None:  # with the values before the change
            new_events.append(_agent_event(transition.event, agent, **transition.event_data))
        changed = await store.compare_and_set(session, agent, transition.columns)
        return new_events if changed is not None else []

    def _render(
        self, render: Callable[[AgentFacts], str], facts: AgentFacts | None
    ) -> str | StepFailure:
        """Render a message; an error, which is ours, fails only the step."""
        assert facts is not None
        try:
            return render(facts)
        except Exception:
            log.exception(
                "A message to the gateway %s could not be rendered.", self._workload.gateway_id
            )
            return UNEXPECTED_FAILURE

    async def _call_gateway(self, call: Callable[[], Awaitable[Answer]]) -> Answer | StepFailure:
        """Call the gateway and convert every error, expected or not, to a StepFailure.

        Database errors are raised: without a database the failure cannot be recorded.
        """
        try:
            async with self._slots:
                return await call()
        except GatewayError as error:
            self._client.capabilities.learn_failure(error)
            return step_failure_of(error, self._client.target.url)
        except (SQLAlchemyError, OSError):
            raise
        except Exception:
            log.exception("A call of the gateway %s has failed.", self._workload.gateway_id)
            return UNEXPECTED_FAILURE


def plan_heartbeat(agent: Agent, moment: datetime) -> datetime | None:
    """Return when the next heartbeat message of an agent is due; None if it gets none.

    A planned one is not postponed.
    """
    interval = agents.heartbeat_interval(agent)
    if interval is None or agent.calls_only_for_messages:
        return None
    planned, latest = agent.next_heartbeat_at, moment + interval
    return planned if planned is not None and moment < planned < latest else latest


def wake_message(agent: Agent, text: str) -> messages.OutgoingMessage:
    """Return the message that starts an agent. Each wake attempt is a message of its own."""
    return messages.OutgoingMessage(
        to=agent.id,
        kind=messages.templates.WAKE_UP_KIND,
        content=text,
        key=f"hello:{agent.id}:{agent.generation}:{agent.wake_attempts}",
        deliver=True,
        on_delivered=EventType.AGENT_WOKEN,
        event_data={"name": agent.name},
    )


def heartbeat_message(agent: Agent, text: str) -> messages.OutgoingMessage:
    """Return the message with which an agent works without being asked. It is sent once."""
    at = agent.next_heartbeat_at
    assert at is not None
    return messages.OutgoingMessage(
        to=agent.id,
        content=f"{messages.templates.MessageMarker.HEARTBEAT}\n\n{text}",
        key=f"heartbeat:{agent.id}:{at.isoformat()}",
    )


def _agent_event(type: EventType, agent: Agent, **more: object) -> events.NewEvent:
    return events.NewEvent(
        type,
        None,
        organization_id=agent.organization_id,
        board=agent.board_id,
        subject=agent,
        data={"name": agent.name, **more},
    )
