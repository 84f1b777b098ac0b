"""Derive notifications from events, so that a change does not have to create both.

Changes of tasks are not among them: services/tasks knows who is concerned.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from models import (
    CLIENT_CLOSED,
    NEVER_CALLED,
    AgentStatus,
    Approval,
    EventType,
    NotificationKind,
    Role,
    User,
)
from services import policies
from services.events import NewEvent
from services.notifications.creation import Audience, NewNotification, notify
from services.notifications.resolution import DELETIONS, reopen, resolve, resolve_deleted

Kind = NotificationKind

DECISION_KINDS = (Kind.APPROVAL_PENDING, Kind.APPROVAL_UNDECIDED)
ROLES = (Role.MEMBER, Role.ADMIN, Role.OWNER)  # from the fewest rights to the most

RELEASING_EVENTS = (EventType.AGENT_RELEASED, EventType.AGENT_RESUMED)
RESOLVING_EVENTS = {
    EventType.APPROVAL_DECIDED: "approval",
    EventType.APPROVAL_APPROVED: "approval",
    EventType.APPROVAL_REJECTED: "approval",
    EventType.GATEWAY_REQUEST_ANSWERED: "request",
    EventType.GATEWAY_REQUEST_EXPIRED: "request",
    EventType.GATEWAY_REQUEST_LOST: "request",
    EventType.GATEWAY_REQUEST_CANCELLED: "request",
}
"""After these events nobody has to decide any more."""
PENDING_EVENTS = (
    EventType.APPROVAL_UNDONE,
    EventType.APPROVAL_LAPSED,
    EventType.APPROVAL_FIRST_APPROVED,
)
"""After these events an approval waits, but not for the first of two people who approve it."""

ACCEPTANCES = (EventType.MEMBER_JOINED, EventType.MEMBER_UPDATED)
"""The events of accepted invitations; a member may accept one too, for more rights."""

AGENT_PROBLEMS = (Kind.AGENT_STUCK, Kind.AGENT_OFFLINE)


async def notify_about_events(session: AsyncSession, new_events: Sequence[NewEvent]) -> None:
    """Create and resolve the notifications of events that are being recorded."""
    relevant = [event for event in new_events if event.type in RELEVANT_TYPES]
    if not relevant:
        return
    decided = {_decision_key(one) for one in relevant if one.type in RESOLVING_EVENTS}
    new = [one for event in relevant for one in _build(event)]
    await notify(
        session, [one for one in new if one.kind not in DECISION_KINDS or one.key not in decided]
    )
    for kinds, keys in _list_resolved(relevant, decided):
        await resolve(session, kinds, keys)
    for type in DELETIONS:
        deleted = [_object_id(event) for event in relevant if event.type is type]
        if known := [id for id in deleted if id is not None]:
            await resolve_deleted(session, type, known)
    await _update_pending(session, [one for one in relevant if one.type in PENDING_EVENTS])


async def _update_pending(session: AsyncSession, pending: Sequence[NewEvent]) -> None:
    """Open the notifications of approvals that wait again, except for who has approved first."""
    ids = [UUID(_decision_key(event)) for event in pending if _has_first_approver(event)]
    first_approvers = await policies.load_first_approvers(session, ids)
    by_first: defaultdict[UUID | None, list[str]] = defaultdict(list)
    for key in map(_decision_key, pending):
        by_first[first_approvers.get(UUID(key))].append(key)
    for user_id, keys in by_first.items():
        await reopen(session, DECISION_KINDS, keys, excluded_user_id=user_id)
        if user_id is not None:
            await resolve(session, DECISION_KINDS, keys, user_id=user_id)


def _has_first_approver(event: NewEvent) -> bool:
    approval = event.approval
    assert isinstance(approval, Approval)
    return approval.first_approver_id is not None


def _list_resolved(
    relevant: Sequence[NewEvent], decided: set[str]
) -> Iterator[tuple[Sequence[Kind], list[str]]]:
    if decided:
        yield DECISION_KINDS, sorted(decided)
    for kinds, ends, build_key in ENDS:
        keys = [build_key(event) for event in relevant if ends(event)]
        if keys:
            yield kinds, keys


def _build(event: NewEvent) -> Iterator[NewNotification]:
    build = BUILDERS.get(event.type)
    if build is not None:
        yield from build(event)


def _build_pending_approval(event: NewEvent) -> Iterator[NewNotification]:
    approval = event.approval
    assert isinstance(approval, Approval)
    yield _new(
        event,
        Kind.APPROVAL_PENDING,
        _decision_key(event),
        keys=("question", "titles", "action_type"),
        **find_deciders(approval),
    )


def find_deciders(approval: Approval) -> dict[str, Any]:
    """Return who can decide an approval, as fields of its notification."""
    verdict = approval.policy_verdict
    return {
        "audience": Audience.WRITERS,
        "user_ids": list(verdict.decider_ids),
        "roles": ROLES[ROLES.index(verdict.decider_role) :],
    }


def _build_gateway_request(event: NewEvent) -> Iterator[NewNotification]:
    audience = Audience.WRITERS if event.board else Audience.ADMINS
    yield _new(
        event,
        Kind.APPROVAL_PENDING,
        _decision_key(event),
        audience=audience,
        keys=("name", "kind", "request_id"),
    )


def _build_decision(event: NewEvent) -> Iterator[NewNotification]:
    approval = event.approval
    if isinstance(approval, Approval) and approval.requested_by_user_id:
        keys = ("question", "titles", "action_type", "status", "note")
        users = [approval.requested_by_user_id]
        yield _new(event, Kind.DECIDED, _decision_key(event), user_ids=users, keys=keys)


def _build_status(event: NewEvent) -> Iterator[NewNotification]:
    code, is_offline = _data(event).get("code"), _data(event).get("to") == AgentStatus.OFFLINE
    if event.actor is None and is_offline and code != CLIENT_CLOSED:
        kind = Kind.AGENT_STUCK if code == NEVER_CALLED else Kind.AGENT_OFFLINE
        yield from _build_agent_problem(event, kind)


def _build_failure(event: NewEvent) -> Iterator[NewNotification]:
    yield from _build_agent_problem(event, Kind.AGENT_STUCK)


def _build_hold(event: NewEvent) -> Iterator[NewNotification]:
    yield from _build_agent_problem(event, Kind.AGENT_HELD)


def _build_ungated(event: NewEvent) -> Iterator[NewNotification]:
    yield from _build_agent_problem(event, Kind.AGENT_UNGATED)


def _build_agent_problem(event: NewEvent, kind: Kind) -> Iterator[NewNotification]:
    audience = Audience.WRITERS if event.board else Audience.ADMINS
    keys = ("name", "reason", "cause", "values", "code", "error", "pending", "recent", "tool")
    yield _new(event, kind, _agent_key(event), audience=audience, keys=keys, merges=True)


def _build_stop(event: NewEvent) -> Iterator[NewNotification]:
    key, keys = str(event.organization_id), ("name", "by", "reason")
    yield _new(event, Kind.AGENTS_STOPPED, key, audience=Audience.MEMBERS, keys=keys, merges=True)


def _build_gateway(event: NewEvent) -> Iterator[NewNotification]:
    data = _data(event)
    if data.get("is_away"):
        yield _new(
            event,
            Kind.GATEWAY_AWAY,
            data["gateway_id"],
            audience=Audience.ADMINS,
            keys=("name",),
            gateway=UUID(data["gateway_id"]),
            merges=True,
        )
    if data.get("config_problem"):
        yield _new(
            event,
            Kind.GATEWAY_CONFIG_INVALID,
            data["gateway_id"],
            audience=Audience.ADMINS,
            keys=("name", "config_problem"),
            gateway=UUID(data["gateway_id"]),
            merges=True,
        )


def _build_invitation(event: NewEvent) -> Iterator[NewNotification]:
    data = _data(event)
    yield _new(
        event,
        Kind.INVITATION,
        _invitation_key(event, data["email"]),
        audience=Audience.ADDRESS,
        email=data["email"],
        keys=("invite_id",),
        merges=True,  # whoever invites again and again sends one message
    )


def _new(
    event: NewEvent, kind: Kind, key: str, *, keys: Sequence[str], **more: Any
) -> NewNotification:
    data = _data(event)
    return NewNotification(
        kind,
        event.organization_id,
        key,
        board=event.board,
        task=event.task,
        approval=event.approval,
        agent=event.subject,
        actor=event.actor,
        data={name: data[name] for name in keys if data.get(name) is not None},
        **more,
    )


def _data(event: NewEvent) -> dict[str, Any]:
    return dict(event.data or {})


def _decision_key(event: NewEvent) -> str:
    """Return the key of an approval, or of a request of a gateway."""
    approval = event.approval
    if approval is None:
        return str(_data(event)["request_id"])
    return str(approval if isinstance(approval, UUID) else approval.id)


def _agent_key(event: NewEvent) -> str:
    agent = event.subject or event.actor
    assert agent is not None
    return str(agent if isinstance(agent, UUID) else agent.id)


def _object_id(event: NewEvent) -> UUID | None:
    """Return the id of the object that was deleted, if the event names it."""
    if event.type is EventType.GATEWAY_DELETED:
        return UUID(_data(event)["gateway_id"])
    if event.type is EventType.AGENT_DELETED:
        return UUID(_agent_key(event))
    if event.task is None or isinstance(event.task, UUID):
        return event.task
    return event.task.id


def _invitation_key(event: NewEvent, email: str) -> str:
    """Return the key of the invitations of an address; a new one replaces the one before."""
    return f"{event.organization_id}:{email}"


def _is_acceptance(event: NewEvent) -> bool:
    return event.type in ACCEPTANCES and "invite_id" in _data(event)


def _accepted_invitation_key(event: NewEvent) -> str:
    """Return the key of an accepted invitation: only the user with its address accepts it."""
    user = event.actor
    assert isinstance(user, User)
    assert user.email is not None
    return _invitation_key(event, user.email.lower())


def _is_back(event: NewEvent) -> bool:
    is_status = event.type is EventType.AGENT_STATUS_CHANGED
    return is_status and _data(event).get("to") == AgentStatus.ONLINE


BUILDERS: dict[EventType, Callable[[NewEvent], Iterator[NewNotification]]] = {
    EventType.APPROVAL_REQUESTED: _build_pending_approval,
    EventType.GATEWAY_REQUEST_ASKED: _build_gateway_request,
    EventType.APPROVAL_APPROVED: _build_decision,
    EventType.APPROVAL_REJECTED: _build_decision,
    EventType.AGENT_STATUS_CHANGED: _build_status,
    EventType.AGENT_PROVISION_FAILED: _build_failure,
    EventType.AGENT_UPDATE_FAILED: _build_failure,
    EventType.AGENT_HELD: _build_hold,
    EventType.APPROVAL_REQUESTS_HELD: _build_hold,
    EventType.AGENT_TOOL_UNGATED: _build_ungated,
    EventType.AGENT_TOOLS_UNGATED: _build_ungated,
    EventType.ORGANIZATION_STOPPED: _build_stop,
    EventType.GATEWAY_UPDATED: _build_gateway,
    EventType.INVITE_CREATED: _build_invitation,
}

ENDS: Sequence[tuple[Sequence[Kind], Callable[[NewEvent], bool], Callable[[NewEvent], str]]] = (
    (AGENT_PROBLEMS, _is_back, _agent_key),
    ((Kind.AGENT_HELD,), lambda event: event.type in RELEASING_EVENTS, _agent_key),
    (
        (Kind.AGENTS_STOPPED,),
        lambda event: event.type is EventType.ORGANIZATION_RESUMED,
        lambda event: str(event.organization_id),
    ),
    (
        (Kind.GATEWAY_AWAY,),
        lambda event: bool(_data(event).get("is_back")),
        lambda event: _data(event)["gateway_id"],
    ),
    (
        (Kind.GATEWAY_CONFIG_INVALID,),
        lambda event: bool(_data(event).get("supports_agents")),
        lambda event: _data(event)["gateway_id"],
    ),
    (
        (Kind.INVITATION,),
        lambda event: event.type is EventType.INVITE_REVOKED,
        lambda event: _invitation_key(event, _data(event)["email"]),
    ),
    ((Kind.INVITATION,), _is_acceptance, _accepted_invitation_key),
)
"""Kinds that are resolved by events: which, and the keys of the notifications."""

RELEVANT_TYPES = frozenset(
    [
        *BUILDERS,
        *RESOLVING_EVENTS,
        *PENDING_EVENTS,
        *RELEASING_EVENTS,
        *DELETIONS,
        EventType.ORGANIZATION_RESUMED,
        EventType.INVITE_REVOKED,
        *ACCEPTANCES,
    ]
)
