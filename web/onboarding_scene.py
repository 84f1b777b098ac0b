"""How the onboarding of a board stands, for the person who looks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.requests import Request

from kit.clock import now
from kit.http import Session
from models import Agent, Board, Message, OnboardingStatus
from services import agents, gateways, onboarding
from services.boards import Access
from services.onboarding import Asker, Conversation, Transcript
from web import ages
from web.gateway_words import trouble
from web.onboarding_words import Known, Wait, brief, wait
from web.reach import looked_at

NOTHING = Transcript([], [], None, "person", None)


@dataclass(frozen=True)
class Scene:
    """A board, the conversation about it, if there ever was one, and who takes part."""

    access: Access
    found: Conversation | None
    asker: Asker
    letter: Message | None  # the last message to the agent that asks
    lead: Agent | None  # of the board
    wait: Wait | None
    brief: Known

    @property
    def board(self) -> Board:
        """The board that is set up."""
        return self.access.board

    @property
    def is_open(self) -> bool:
        """Whether a conversation goes on."""
        return self.found is not None and self.found.is_open

    @property
    def is_confirmed(self) -> bool:
        """Whether the last conversation led to a goal."""
        return self.found is not None and self.found.session.status is OnboardingStatus.CONFIRMED

    @property
    def name(self) -> str:
        """What the agent that asks is called."""
        return self.asker.agent.name if self.asker.agent else ""

    @property
    def trouble(self) -> str:
        """Why the gateway takes nothing now, "" if nothing is known to be in the way."""
        return trouble(self.asker.gateway, now()) if self.asker.gateway else ""

    @property
    def is_away(self) -> bool:
        """Whether the gateway is known not to be reached, so that nobody thinks about anything."""
        gateway = self.asker.gateway
        return gateway is not None and gateways.in_the_way(gateway) is not None

    @cached_property
    def talk(self) -> Transcript:
        """What was asked and answered."""
        return self.found.transcript if self.found else NOTHING

    @property
    def draft(self) -> Mapping[str, Any]:
        """What the agent proposes; empty as long as it proposes nothing."""
        return drafted(self.found) if self.is_open else {}

    @property
    def stage(self) -> str:
        """What is to be done next.

        `alone` where nobody asks, `begin` where somebody could, `waiting` for the agent, and
        `question` or `draft` for the person.
        """
        if self.asker.agent is None:
            return "alone"
        return stage_of(self.found) or "begin"

    @property
    def last(self) -> str:
        """The id of the last conversation, "" if there never was one."""
        return str(self.found.session.id) if self.found else ""

    @property
    def mark(self) -> str:
        """What is another one as soon as the agent or the outcome is: for pages that stay open."""
        if self.found is None:
            return ""
        said = [one.seq for one in self.found.messages if one.role == "assistant"]
        return f"{self.last}.{self.found.session.status}.{said[-1] if said else 0}"


async def look(request: Request, session: Session) -> Scene:
    """Load how the onboarding of the board in the address stands. Raises NotFound or Forbidden."""
    access = await looked_at(request, session)
    board, zone = access.board, ages.zone(request.user.timezone)
    found = await onboarding.find(session, board)
    asker = await onboarding.asker(session, board)
    letter = await onboarding.letter(session, board, found) if found else None
    crew = await agents.of_board(session, board)
    name = asker.agent.name if asker.agent else ""
    is_open = found is not None and found.is_open
    return Scene(
        access=access,
        found=found,
        asker=asker,
        letter=letter,
        lead=next((one for one in crew if one.is_board_lead), None),
        wait=wait(found, letter, name, now(), zone) if found else None,
        brief=brief(
            found.transcript if found else NOTHING, drafted(found) if is_open else {}, zone
        ),
    )


def stage_of(found: Conversation | None) -> str | None:
    """Return what is to be done next in a conversation that goes on."""
    if found is None or not found.is_open:
        return None
    if found.asked_by is None:
        return "alone"
    if found.waiting_for == "agent":
        return "waiting"
    return {"answer": "question", "review": "draft", None: None}[found.wants]


def drafted(found: Conversation | None) -> Mapping[str, Any]:
    """Return the draft of a conversation, whatever was kept as one."""
    return found.draft if found else {}
