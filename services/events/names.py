"""The names of those who are gone: what they did stays, with who did it."""

from uuid import UUID

from sqlalchemy import ScalarSelect, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from models import Event, EventType


def of_gone(agent_id: InstrumentedAttribute[UUID | None]) -> ScalarSelect[str]:
    """Select how an agent was called when it was deleted or unlinked, null if it never was."""
    farewell = aliased(Event)
    name = select(farewell.data["name"].astext)
    told = name.where(farewell.agent_id == agent_id, farewell.type == EventType.AGENT_DELETED)
    return told.order_by(farewell.created_at.desc()).limit(1).scalar_subquery()


def author_of(comment_id: InstrumentedAttribute[UUID]) -> ScalarSelect[str]:
    """Select how the agent was called that wrote a comment, and is gone."""
    said = aliased(Event)
    return select(of_gone(said.agent_id)).where(said.id == comment_id).scalar_subquery()
