"""What is heard of the turns on a gateway, until it is written down. No database."""

from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from kit.text import storable
from openclaw import MISSED, Event
from services.messages import turns
from services.messages.turns import Turn

MOST_OVER = 1_000  # turns of which it is kept that they are over
MOST_HEARD = 1_000  # of each kind that wait to be written down: beyond that all is doubted
LONGEST_SESSION = 1_000  # characters of a session's key


@dataclass
class Ears:
    """Listens to a gateway's events for those who carry messages there."""

    ends: dict[UUID, tuple[str, Turn]] = field(default_factory=dict)  # how turns ended, by message
    doubtful: set[UUID] = field(default_factory=set)  # messages of which too little was told
    sessions: set[str] = field(default_factory=set)  # in which a turn has ended
    losses: int = 1  # how often events were lost: before we listened, all were
    _over: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_OVER))

    def hear(self, event: Event) -> bool:
        """Take an event in, and say whether it was of any interest.

        The end of any turn is: it may have taken in what waited in its session.
        """
        if event is MISSED or self._is_full:
            self.losses += 1
            self._over.clear()
            return True
        said = turns.told(event)
        if said is None:
            return False
        run_id, turn = said
        message_id = _message_id(run_id)
        self.sessions |= _session(event)
        if message_id is None:
            return True
        if turn is not None:
            self.ends[message_id] = (run_id, turn)
            return True
        self.doubtful.add(message_id)
        if event.payload.get("state") == "final":
            self._over.append(run_id)
        return True

    @property
    def _is_full(self) -> bool:
        return max(map(len, (self.ends, self.doubtful, self.sessions))) >= MOST_HEARD

    def has_news_of(self, message_id: UUID, run_id: str) -> bool:
        """Say whether something was heard of a message before it was known to be sent."""
        if run_id in self._over:
            self.doubtful.add(message_id)
        return message_id in self.ends or message_id in self.doubtful


def _session(event: Event) -> set[str]:
    """Return the session that an event names, if there can be such a one."""
    key = event.payload.get("sessionKey")
    is_one = isinstance(key, str) and len(key) <= LONGEST_SESSION and storable(key)
    return {str(key)} if is_one else set()


def _message_id(run_id: str) -> UUID | None:
    """Return the message that a turn was begun with, if it was one of ours."""
    try:
        return UUID(run_id.partition(".")[0])
    except ValueError:
        return None
