"""What is heard of the turns on a gateway, until it is written down. No database."""

from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from openclaw import MISSED, Event
from services.messages import turns
from services.messages.turns import ENDED, RUNNING, UNKNOWN, Turn

MOST_OVER = 1_000  # turns of which it is kept that they are over


@dataclass
class Ears:
    """Listens to a gateway's events for those who carry messages there."""

    ends: dict[UUID, tuple[str, Turn]] = field(default_factory=dict)  # how turns ended, by message
    doubtful: set[UUID] = field(default_factory=set)  # messages of which too little was told
    losses: int = 1  # how often events were lost: before we listened, all were
    _over: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_OVER))
    _waiting: dict[str, set[UUID]] = field(default_factory=dict)  # messages, by their session

    def hear(self, event: Event) -> bool:
        """Take an event in, and say whether it was of any interest."""
        if event is MISSED:
            self.losses += 1
            self._over.clear()
            self._waiting.clear()
            return True
        said = turns.told(event)
        if said is None:
            return False
        run_id, turn = said
        message_id = _message_id(run_id)
        waiting = self._waiting.pop(str(event.payload.get("sessionKey")), set())
        self.doubtful |= waiting
        if message_id is None:
            return bool(waiting)
        if turn is not None:
            self.ends[message_id] = (run_id, turn)
            return True
        self.doubtful.add(message_id)
        if event.payload.get("state") == "final":
            self._over.append(run_id)
        return True

    def weigh(self, message_id: UUID, run_id: str, session_key: str, seen: Turn) -> Turn:
        """Return what has become of a message by what was seen of it and what was heard.

        A turn may be told to be over a moment before what was said there is written down; or
        while the message still waits to be taken in by another turn. Then that one's end tells.
        """
        if run_id not in self._over:
            return seen
        if seen == RUNNING:
            self._waiting.setdefault(session_key, set()).add(message_id)
        return ENDED if seen == UNKNOWN else seen

    def has_news_of(self, message_id: UUID, run_id: str) -> bool:
        """Say whether something was heard of a message before it was known to be sent."""
        if run_id in self._over:
            self.doubtful.add(message_id)
        return message_id in self.ends or message_id in self.doubtful


def _message_id(run_id: str) -> UUID | None:
    """Return the message that a turn was begun with, if it was one of ours."""
    try:
        return UUID(run_id.partition(".")[0])
    except ValueError:
        return None
