"""A request as it is shown: with whose it is, and on what they work."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden, NotFound
from models import Agent, Board, GatewayRequest, Member, RequestState, Run, Task, User
from services import boards, organizations
from services.gateway_requests.rules import is_secret

Rows: TypeAlias = Select[*tuple[Any, ...]]

SHORT = 12  # characters of a hash that people compare
LONGEST_TITLE = 200  # characters


@dataclass(frozen=True)
class RequestDetail:
    """A request with the agent, the board and the task that it is shown with."""

    request: GatewayRequest
    agent: Agent | None
    board: Board | None
    task: Task | None  # on which the agent works in the run that asks

    @property
    def asked_by(self) -> str:
        """The name of whoever asks."""
        return self.agent.name if self.agent else self.request.agent_key or "An agent"

    @property
    def is_waiting(self) -> bool:
        """Whether nobody has answered yet."""
        return self.request.state is RequestState.WAITING

    @property
    def is_secret(self) -> bool:
        """Whether a secret is asked for, which is not answered here."""
        return is_secret(self.request)

    @property
    def short_hash(self) -> str:
        """As much of the hash as people compare."""
        return self.request.sha256[:SHORT]

    @property
    def title(self) -> str:
        """What is asked, on one line: the command itself, or the first question."""
        request = self.request
        asked = request.command or request.questions[0]["question"]
        line = " ".join(asked.split())
        return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1]}…"


def rows() -> Rows:
    """Select requests, each with what `from_row` makes a RequestDetail of."""
    same = (Run.gateway_id == GatewayRequest.gateway_id) & (Run.run_id == GatewayRequest.run_id)
    return (
        select(GatewayRequest, Agent, Board, Task)
        .outerjoin(Agent, Agent.id == GatewayRequest.agent_id)
        .outerjoin(Board, Board.id == GatewayRequest.board_id)
        .outerjoin(Run, same)
        .outerjoin(Task, (Task.id == Run.task_id) & (Task.board_id == GatewayRequest.board_id))
    )


def from_row(row: Sequence[Any]) -> RequestDetail:
    """Make a RequestDetail of a row of `rows`."""
    return RequestDetail(*row[:4])


def answerable(member: Member) -> ColumnElement[bool]:
    """Say which requests a member sees, and may answer: those of the boards that they may change.

    What is asked on no board, those who look after the organization see.
    """
    mine = GatewayRequest.organization_id == member.organization_id
    seen = GatewayRequest.board_id.in_(boards.writable(member.user))
    return mine & (seen | GatewayRequest.board_id.is_(None) if member.is_admin else seen)


async def found(
    session: AsyncSession, user: User, request_id: UUID, *, held: bool = False
) -> RequestDetail:
    """Return a request of the user's organizations, for those who may answer it.

    `held`, nobody else can change it until the commit. Raises NotFound, and Forbidden.
    """
    seen = boards.seen_by(user).subquery()
    mine = (Member.organization_id == GatewayRequest.organization_id) & (Member.user_id == user.id)
    query = rows().join(Member, mine).outerjoin(seen, seen.c.id == GatewayRequest.board_id)
    query = query.add_columns(Member, seen.c.reads & seen.c.writes)
    query = query.where(GatewayRequest.id == request_id)
    if held:
        query = query.with_for_update(of=GatewayRequest)
    row = (await session.execute(query.execution_options(populate_existing=True))).one_or_none()
    if row is None:
        raise NotFound("gateway_request_not_found", "There is no such request.")
    *_, member, writes = row
    if row[0].board_id is None:
        organizations.require_admin(member)
    elif not writes:
        raise Forbidden("board_write_forbidden", "Only who may change this board can answer that.")
    return from_row(row)
