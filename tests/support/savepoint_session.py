"""Sessions in the transaction of a test, whose commits only end a savepoint."""

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

import services.subscriptions  # noqa: F401 - sets the handlers of hooks
from services.events import EVENTS_RECORDED

HAS_EVENTS = "has events"  # a key of what is known of a session


class SavepointSession(Session):
    """Inserts its events at the end of its savepoint, since the transaction has no commit."""


@event.listens_for(SavepointSession, "before_commit")
def insert_events(session: Session) -> None:
    """Run the deferred trigger of events, as a commit does."""
    if session.in_nested_transaction() or not session.info.pop(HAS_EVENTS, False):
        return
    connection = session.connection()
    connection.exec_driver_sql("set constraints record_events immediate")
    connection.exec_driver_sql("set constraints record_events deferred")


async def note_events(session: AsyncSession, _: object) -> None:
    """Note that a transaction records events."""
    session.info[HAS_EVENTS] = True


EVENTS_RECORDED.handlers = (*(EVENTS_RECORDED.handlers or ()), note_events)
