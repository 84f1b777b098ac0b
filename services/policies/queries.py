"""Read approval policies, and evaluate them for requests."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from core.db.reads import Query, Source, set_loaded_values
from models import (
    Agent,
    Approval,
    ApprovalPolicy,
    Board,
    Member,
    PolicyRule,
    PolicyVerdict,
    Tag,
    TagAssignment,
    User,
)
from services.approval_actions import COMPLETION_KIND, read_kind
from services.policies.rules import RuleSet, build_facts, build_tool_facts
from services.policies.tool_rules import ToolVerdict
from services.tool_facts import ToolFacts

Row = TypeVar("Row")


@dataclass(frozen=True)
class PolicyDetail:
    """The rules of an organization or a board, and who changed them last. Version 0: never."""

    rules: Sequence[PolicyRule] = ()
    version: int = 0
    updated_at: datetime | None = None
    updated_by: str | None = None  # name
    updated_by_user_id: UUID | None = None


async def get_policy(source: Source, organization_id: UUID, board: Board | None) -> PolicyDetail:
    """Return the policy of a board, or of the organization if there is no board."""
    query = BOARD_POLICY if board else ORGANIZATION_POLICY
    board_id = board.id if board else None
    found = await query.first(source, organization_id=organization_id, board_id=board_id)
    return found or PolicyDetail()


def _build_detail(row: tuple[ApprovalPolicy, User | None]) -> PolicyDetail:
    policy, user = row
    name = user.display_name if user else None
    return PolicyDetail(
        policy.rules, policy.version, policy.updated_at, name, policy.updated_by_user_id
    )


ORGANIZATION_ID = bindparam("organization_id", type_=Uuid())
BOARD_ID = bindparam("board_id", type_=Uuid())
POLICIES = (
    select(ApprovalPolicy, User)
    .outerjoin(User, User.id == ApprovalPolicy.updated_by_user_id)
    .where(ApprovalPolicy.organization_id == ORGANIZATION_ID)
)
BOARD_POLICY = Query(POLICIES.where(ApprovalPolicy.board_id == BOARD_ID), _build_detail)
ORGANIZATION_POLICY = Query(POLICIES.where(ApprovalPolicy.board_id.is_(None)), _build_detail)


@dataclass(frozen=True)
class ReferenceNames:
    """The names of what rules can refer to, by id."""

    agents: Mapping[UUID, str]
    tags: Mapping[UUID, str]
    users: Mapping[UUID, str]


async def load_reference_names(
    source: Source, organization_id: UUID, rules: Sequence[PolicyRule]
) -> ReferenceNames:
    """Return the names of the agents, tags and members to which rules refer."""

    async def load(query: Query[Row], field: str) -> list[Row]:
        ids = list({id for rule in rules for id in getattr(rule, field)})
        return await query.fetch(source, organization_id=organization_id, ids=ids) if ids else []

    users = await load(USERS, "decider_ids")
    return ReferenceNames(
        dict(await load(AGENT_NAMES, "agent_ids")),
        dict(await load(TAG_NAMES, "tag_ids")),
        {user.id: user.display_name for user in users},
    )


IDS = bindparam("ids", type_=ARRAY(Uuid()))


AGENT_NAMES: Query[tuple[UUID, str]] = Query(
    select(Agent.id, Agent.name)
    .where(Agent.organization_id == ORGANIZATION_ID, Agent.id == func.any(IDS))
    .order_by(Agent.name, Agent.id)
)
TAG_NAMES: Query[tuple[UUID, str]] = Query(
    select(Tag.id, Tag.name)
    .where(Tag.organization_id == ORGANIZATION_ID, Tag.id == func.any(IDS))
    .order_by(Tag.name)
)
USERS: Query[User] = Query(
    select(User)
    .join(Member, Member.user_id == User.id)
    .where(Member.organization_id == ORGANIZATION_ID, User.id == func.any(IDS))
    .order_by(User.email),
    lambda row: row[0],
)


async def list_named_members(
    source: Source, organization_id: UUID, user_ids: Collection[UUID]
) -> Sequence[Member]:
    """Return those of these users who are members of an organization, with the users loaded."""
    if not user_ids:
        return []
    parameters = {"organization_id": organization_id, "user_ids": list(user_ids)}
    return await NAMED_MEMBERS.fetch(source, **parameters)


def _build_member(row: tuple[Member, User]) -> Member:
    member, user = row
    set_loaded_values(member, user=user)
    return member


NAMED_MEMBERS = Query(
    select(Member, User)
    .join(User, User.id == Member.user_id)
    .where(
        Member.organization_id == ORGANIZATION_ID,
        Member.user_id == func.any(bindparam("user_ids", type_=ARRAY(Uuid()))),
    )
    .order_by(func.lower(User.email), Member.id),
    _build_member,
)


async def load_rules(source: Source, board: Board) -> list[PolicyRule]:
    """Return the rules for requests on a board in the order of evaluation: the board's first."""
    parameters = {"organization_id": board.organization_id, "board_id": board.id}
    return [rule for (rules,) in await RULES.fetch(source, **parameters) for rule in rules]


RULES: Query[tuple[Sequence[PolicyRule]]] = Query(
    select(ApprovalPolicy.rules)
    .where(
        ApprovalPolicy.organization_id == ORGANIZATION_ID,
        ApprovalPolicy.board_id.is_(None) | (ApprovalPolicy.board_id == BOARD_ID),
    )
    .order_by(ApprovalPolicy.board_id.nulls_last())
)


async def load_rules_of_boards(
    source: Source, organization_id: UUID, board_ids: Collection[UUID]
) -> Mapping[UUID, Sequence[PolicyRule]]:
    """Return what `load_rules` does for several boards of an organization, by their ids."""
    parameters = {"organization_id": organization_id, "board_ids": list(board_ids)}
    rules = dict(await RULES_OF_BOARDS.fetch(source, **parameters))
    return {id: [*rules.get(id, ()), *rules.get(None, ())] for id in board_ids}


RULES_OF_BOARDS: Query[tuple[UUID | None, Sequence[PolicyRule]]] = Query(
    select(ApprovalPolicy.board_id, ApprovalPolicy.rules).where(
        ApprovalPolicy.organization_id == ORGANIZATION_ID,
        ApprovalPolicy.board_id.is_(None)
        | (ApprovalPolicy.board_id == func.any(bindparam("board_ids", type_=ARRAY(Uuid())))),
    )
)


async def list_named_tag_ids(source: Source, board: Board) -> frozenset[UUID]:
    """Return the tags that rules for requests on a board name."""
    rules = await load_rules(source, board)
    return frozenset(id for rule in rules for id in rule.tag_ids)


TAG_IDS: Query[tuple[UUID, UUID]] = Query(
    select(TagAssignment.task_id, TagAssignment.tag_id).where(
        TagAssignment.task_id == func.any(bindparam("task_ids", type_=ARRAY(Uuid())))
    )
)


async def evaluate_request(
    source: Source,
    approval: Approval,
    board: Board,
    task_ids: Collection[UUID],
    *,
    is_completion: bool = False,
) -> PolicyVerdict:
    """Return what the policies of the board and its organization say about a request.

    With `is_completion` its kind counts as one that completes tasks.
    """
    [verdict] = await evaluate_requests(
        source, board, [(approval, task_ids)], is_completion=is_completion
    )
    return verdict


async def evaluate_requests(
    source: Source,
    board: Board,
    requests: Sequence[tuple[Approval, Collection[UUID]]],
    *,
    is_completion: bool = False,
) -> list[PolicyVerdict]:
    """Return what the policies say about requests, each with the ids of its tasks."""
    rules = await load_rules(source, board) if requests else ()
    if not rules:
        return [PolicyVerdict() for _request in requests]
    all_ids = {id for _approval, task_ids in requests for id in task_ids}
    rows = await TAG_IDS.fetch(source, task_ids=list(all_ids)) if all_ids else ()
    rule_set, verdicts = RuleSet(rules), []
    read = _read_completion if is_completion else read_kind
    for approval, task_ids in requests:
        tag_ids = frozenset(tag_id for task_id, tag_id in rows if task_id in task_ids)
        verdicts.append(rule_set.evaluate(build_facts(approval, tag_ids, read)))
    return verdicts


def _read_completion(_kind: str) -> tuple[tuple[str, ...], str]:
    return read_kind(COMPLETION_KIND)


async def evaluate_tool_call(
    source: Source, board: Board, agent_id: UUID, facts: ToolFacts, at: datetime
) -> ToolVerdict:
    """Return what the policies of the board and its organization say about a tool call."""
    rules = RuleSet(await load_rules(source, board))
    return rules.evaluate_tool_call(build_tool_facts(facts, agent_id, at))
