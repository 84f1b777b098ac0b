"""What sessions do, judged by what their clients have reported. No input or output."""

from datetime import datetime, timedelta
from enum import StrEnum

from models import CodingSession, SessionState

SILENT_AFTER = timedelta(minutes=5)


class ReportedState(StrEnum):
    """What a session does, as far as that is known."""

    WORKING = "working"
    WAITING = "waiting"  # its client has asked, and waits for the answer
    IDLE = "idle"
    UNKNOWN = "unknown"  # it has been silent: it may work, wait for its user, or have been killed
    ENDED = "ended"


def find_state(session: CodingSession, at: datetime, *, is_held: bool = False) -> ReportedState:
    """Return what a session does. `is_held`: a connection of its client waits for an answer."""
    if is_held:
        return ReportedState.WAITING
    if session.state is SessionState.ENDED:
        return ReportedState.ENDED
    if at - session.last_signal_at >= SILENT_AFTER:
        return ReportedState.UNKNOWN
    return ReportedState(session.state)
