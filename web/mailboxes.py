"""The messages of an agent on its page: what each says, and what has become of it."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.clock import now
from kit.http import Session, transaction
from kit.paging import Paging
from models import Agent, Message, MessageState
from services import agents, mailboxes, messages
from services.mailboxes import Mailbox
from web import newcomers
from web.auth import member_of
from web.html import render, wants_part

LATEST = 8  # messages on an agent's page
LONGEST_EXCERPT = 200  # characters

TASK = "Task: "
AROUND = re.compile(r"(Board|From|Group|To answer|Body|\w+ Board|[A-Z][\w ]* ID): |---")
"""The lines of a message that stand around what it says."""

WORDS = {
    MessageState.QUEUED: ("Waiting", "clock", "dim"),
    MessageState.SENT: ("Sent", "send", "dim"),
    MessageState.ACKNOWLEDGED: ("Acknowledged", "check", "dim"),
    MessageState.FAILED: ("Failed", "circle-x", "danger"),
}
"""How each state is told: in words, with an icon, in a tone."""


@dataclass(frozen=True)
class Letter:
    """A message as it is shown."""

    message: Message
    title: str
    excerpt: str
    words: str
    icon: str
    tone: str
    why: str  # what it waits for, or why it has failed

    @classmethod
    def of(cls, message: Message, mailbox: Mailbox) -> "Letter":
        """Make one of a row."""
        kind, wait = message.kind, mailbox.wait_of(message, now())
        return cls(
            message,
            kind if kind.startswith("/") else kind.capitalize(),
            _excerpt(message),
            *WORDS[message.state],
            why=(wait.sentence if wait else message.last_error) or "",
        )

    @property
    def has_failed(self) -> bool:
        """Whether it can be sent again."""
        return self.message.state is MessageState.FAILED


async def show(request: Request) -> Response:
    """Show the messages of an agent, as they stand now."""
    async with transaction(request) as session:
        return await _part(request, session)


async def send_again(request: Request) -> Response:
    """Send a message that has failed once more."""
    message_id: UUID = request.path_params["message_id"]
    async with transaction(request) as session:
        agent = await agents.get(session, member_of(request), request.path_params["agent_id"])
        await messages.retry(session, request.user, agent, message_id)
        if wants_part(request):
            return await _part(request, session)
    return RedirectResponse(f"/agents/{agent.id}#messages", 303)


async def mail_of(session: Session, agent: Agent) -> dict[str, Any]:
    """Return what the part needs: the latest messages to an agent, and how many there are."""
    mailbox = await mailboxes.of_agent(session, agent)
    found = await messages.of_agent(session, agent, Paging(limit=LATEST))
    letters = found.map(lambda message: Letter.of(message, mailbox))
    return {"letters": letters.items, "written": letters.total}


async def _part(request: Request, session: Session) -> Response:
    card = await newcomers.card_of(request, session, request.path_params["agent_id"])
    return render(request, "agents/_messages.html", one=card, **await mail_of(session, card.agent))


def _excerpt(message: Message) -> str:
    """Return in one line what a message is about: the task, or what is said after the labels."""
    lines = [line.strip() for line in message.content.removeprefix(message.kind).splitlines()]
    tasks = [line.removeprefix(TASK) for line in lines if line.startswith(TASK)]
    said = [line for line in lines if line and not AROUND.match(line)]
    return " ".join(tasks[:1] or said)[:LONGEST_EXCERPT]
