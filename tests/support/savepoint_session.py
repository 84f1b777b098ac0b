"""Sessions in the transaction of a test, whose commits only end a savepoint."""

from sqlalchemy import event, text
from sqlalchemy.orm import Session

from services.audit import records

IMMEDIATE, DEFERRED = (
    text(f"set constraints record_events {mode}") for mode in ("immediate", "deferred")
)


class SavepointSession(Session):
    """Inserts events and records at the end of its savepoint, since there is no commit."""


@event.listens_for(SavepointSession, "before_commit")
def insert_records(session: Session) -> None:
    """Run the deferred trigger, as a commit does."""
    if not session.in_nested_transaction() and session.info.pop(records._HAS_RECORDS, False):
        connection = session.connection()
        connection.execute(IMMEDIATE)
        connection.execute(DEFERRED)
