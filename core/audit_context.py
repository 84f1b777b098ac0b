"""Who acts, with which credential and from where: values that the audit records with each change.

Interfaces set them when they authenticate a caller. They apply to the current asyncio task, so that
services need no parameters for them. Without a caller it is the worker that acts.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from uuid import UUID


@dataclass(frozen=True)
class AuditContext:
    """The origin of a change.

    `credential` is session, api_token, local_token, provider_token, agent_token, webhook,
    command_line, worker or none; `credential_id` is the id of a session or a webhook, or the stored
    prefix of a token.
    """

    actor_kind: str = "system"  # user, agent, operator, system or anonymous
    actor_id: UUID | None = None
    actor_name: str | None = None
    organization_id: UUID | None = None  # in which the actor works, for refused requests
    credential: str = "worker"
    credential_id: str | None = None
    address: str | None = None
    request_id: str | None = None


WORKER = AuditContext()

_current: ContextVar[AuditContext] = ContextVar("audit_context", default=WORKER)


def get_audit_context() -> AuditContext:
    """Return the origin of changes in this task."""
    return _current.get()


def update_audit_context(**values: object) -> None:
    """Set some values of the origin, for the rest of this task."""
    _current.set(replace(_current.get(), **values))


@contextmanager
def audit_context(context: AuditContext) -> Generator[None]:
    """Replace the origin for the block."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)
