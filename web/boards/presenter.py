"""Data of a board for the templates: access, agents panel, columns and filters."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core.db.reads import Source
from core.paging import Paging
from models import Agent, Board, DesiredState, Member, User
from services import (
    agents,
    boards,
    gateways,
    messages,
    presence,
)
from services.agents import AgentCard, AgentState, BoardAgents
from services.approvals import UndecidedApproval
from services.gateways.runs import RunPhase
from services.pickers import PickerKind
from services.presence import BoardViewer
from services.tasks import TaskCreate
from web.agents.presenter import format_duration
from web.agents.problem_texts import describe_hold
from web.pickers import Chosen, load_chosen
from web.ui.forms import Form
from web.ui.object_forms import build_form_fields
from web.ui.translation import N_, _

PAUSED = "paused"
MAX_LINES = 8  # agents that a board shows by name


@dataclass(frozen=True)
class AgentLine:
    """What an agent is doing. With `since` the text is a marked one with `age` in it."""

    agent: Agent
    state: str
    text: str
    since: datetime | None = None
    needs_viewer: bool = False  # it waits for a decision of the viewer


@dataclass(frozen=True)
class AgentStrip:
    """The agents of a board that work or wait, first those that wait for the viewer."""

    lines: Sequence[AgentLine]
    other_count: int


def build_agent_strip(
    board: Board,
    found: BoardAgents,
    approvals: Sequence[UndecidedApproval],
    decidable_ids: Collection[UUID],
) -> AgentStrip:
    """Describe what the agents of a board do. The viewer may decide some of the approvals."""
    waiting = {one.agent_id: _("Waits for an approval") for one in approvals}
    for_viewer = {one.agent_id for one in approvals if one.id in decidable_ids}
    busy = [card for card in found.cards if card.agent.id in waiting or _is_busy(card)]
    busy.sort(key=lambda card: (card.agent.id not in for_viewer, card.agent.id not in waiting))
    is_paused = board.paused_at is not None
    lines = [
        AgentLine(card.agent, card.state, _("Waiting for your decision"), needs_viewer=True)
        if card.agent.id in for_viewer
        else _build_line(card, waiting.get(card.agent.id), is_paused=is_paused)
        for card in busy[:MAX_LINES]
    ]
    return AgentStrip(lines, found.total - len(lines))


def _is_busy(card: AgentCard) -> bool:
    """Return whether an agent works, or waits for people."""
    is_active = card.state in (AgentState.WORKING, AgentState.WAITING)
    return is_active or card.task is not None or card.run is not None or card.agent.hold is not None


def _build_line(card: AgentCard, waiting: str | None, *, is_paused: bool) -> AgentLine:
    agent = card.agent
    if card.state is AgentState.PROVISIONING:
        return AgentLine(agent, card.state, _("Starting: no check-in yet"))
    if card.state is AgentState.AWAY:
        return AgentLine(agent, card.state, _("No answer from its gateway"))
    if card.state in (AgentState.OFFLINE, AgentState.LATE):
        return _silent_line(card)
    if agent.hold is not None:
        waits = _("Stopped automatically")
        text = describe_hold(agent) if messages.is_pause(agent.hold) else waits
        return AgentLine(agent, PAUSED, text)
    if is_paused and card.run is None:
        title = card.task.title if card.task else ""
        text = _("Paused · %(task)s", task=title) if title else _("Paused")
        return AgentLine(agent, PAUSED, text)
    if card.state in (AgentState.UNKNOWN, AgentState.CLOSED) and waiting is None:
        return AgentLine(agent, card.state, N_("Last seen %(age)s"), agent.last_seen_at)
    work = waiting or _describe_work(card)
    return AgentLine(agent, card.state, work) if work is not None else _idle_line(card)


def _idle_line(card: AgentCard) -> AgentLine:
    agent, seen = card.agent, card.agent.last_seen_at
    if seen is None:
        return AgentLine(agent, card.state, _("Never checked in"))
    text = N_("Lead · checked in %(age)s") if agent.is_board_lead else N_("Checked in %(age)s")
    return AgentLine(agent, card.state, text, seen)


def _describe_work(card: AgentCard) -> str | None:
    """Describe what an agent does or waits for, or return None if it is idle."""
    if card.run is not None and card.run.phase == RunPhase.WAITING:
        return _("Waiting for an answer")
    if card.task is not None:
        return card.task.title
    return _("Working on its gateway") if card.run is not None else None


def _silent_line(card: AgentCard) -> AgentLine:
    if card.agent.desired_state is DesiredState.GONE:
        return AgentLine(card.agent, card.state, _("Is being removed"))
    if card.uncalled_for is not None:
        duration = format_duration(card.uncalled_for)
        return AgentLine(
            card.agent, card.state, _("Never called for %(duration)s", duration=duration)
        )
    if card.silent_for is None:
        return AgentLine(card.agent, card.state, _("Never checked in"))
    if card.silent_for < timedelta(minutes=1):  # shorter silence is not mentioned
        return AgentLine(card.agent, card.state, _("Offline"))
    return AgentLine(card.agent, card.state, N_("Last seen %(age)s"), card.agent.last_seen_at)


async def list_other_viewers(source: Source, board: Board, user: User) -> list[str]:
    """Return the names of other users who have the board open, in order of arrival."""
    return name_other_viewers(await presence.list_viewers(source, board), user)


def name_other_viewers(viewers: Iterable[BoardViewer], user: User) -> list[str]:
    """Return the names of the viewers of a board other than a user."""
    return [one.user.display_name for one in viewers if one.user.id != user.id]


async def load_pause_notice(source: Source, board: Board, user: User) -> dict[str, Any]:
    """Load who paused a board, and its agents that a circuit breaker holds."""
    return {
        **await load_pauser(source, board, user),
        "held_agents": await agents.load_held_agents(source, board),
    }


async def load_pauser(source: Source, board: Board, user: User) -> dict[str, Any]:
    """Load the name of who paused a board, "" if nobody did, and whether it is the viewer."""
    pauser = await boards.find_pauser(source, board)
    return {
        "paused_by": pauser.display_name if pauser else "",
        "is_paused_by_viewer": pauser is not None and pauser.id == user.id,
    }


async def load_new_task_form(
    source: Source, member: Member, lead: Agent | None, form: Form
) -> dict[str, Any]:
    """Load what the form for a new task shows, without the custom fields."""

    async def load(kind: PickerKind, name: str) -> Chosen:
        return await load_chosen(source, member, kind, name, form)

    return {
        "form": form,
        "fields": build_form_fields(form, TaskCreate),
        "unassigned": _("Let %(lead)s decide", lead=lead.name) if lead else _("Unassigned"),
        "chosen_assignee": await load(PickerKind.ASSIGNEES, "assignee"),
        "chosen_tags": await load(PickerKind.TAGS, "tag_ids"),
    }


async def load_place_fields(
    source: Source, member: Member, form: Form, board: Board | None
) -> dict[str, Any]:
    """Load the gateway and the group in the form of a board, and whether there are any.

    A new board begins with the newest gateway.
    """
    newest = await gateways.list_gateways(source, member, Paging(1))
    groups = await boards.list_groups(source, member, Paging(1))
    gateway_ids = [board.gateway_id] if board else [one.id for one in newest.items]
    group_ids = [board.board_group_id] if board else []
    return {
        "has_gateways": newest.total > 0,
        "has_groups": groups.total > 0,
        "no_gateway": name_no_gateway(),
        "chosen_gateway": await load_chosen(
            source, member, PickerKind.GATEWAYS, "gateway_id", form, gateway_ids
        ),
        "chosen_group": await load_chosen(
            source, member, PickerKind.GROUPS, "board_group_id", form, group_ids
        ),
    }


def name_no_gateway() -> str:
    """Return the name of the choice of a board without a gateway."""
    return _("None: its agents call the API themselves")
