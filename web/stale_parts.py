"""Which event makes which part of a page out of date."""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias
from uuid import UUID

from models import Event, EventType
from services.events import EVENT_DEFINITIONS, TASK_CARD

StaleParts: TypeAlias = Mapping[str, Collection[UUID | None]]
"""Names of parts with the boards whose pages show them; None stands for all pages."""

SINGLE_BOARD_PARTS = {
    *("agents", "agent-cards", "board", "board-webhooks", "cards", "memory", "onboarding"),
    *("pauses", "task-order", "tasks", "trash", "views"),
}
"""Parts that show one board. They are not sent to pages of another board."""

MAX_SINGLE_CARDS = 5  # in one batch of events; also of agents whose cards are loaded

MAX_SINGLE_COMMENTS = 5  # tasks whose comments a part follows one by one, otherwise all comments

AGENT_CARDS = "agent-cards-"

CARD_FIELDS = {
    *("title", "description", "due_at", "assigned_agent_id", "assigned_user_id", "priority")
}
"""Fields of a task on which no other card depends. On an unfiltered board they do not change the
place of a card; other views (`BoardAddress.is_unfiltered_board`) load all cards again."""


def list_stale_parts(event: Event) -> Iterable[str]:
    """Return the names of the parts that an event makes out of date."""
    ids = {"task": event.task_id, "approval": event.approval_id, "agent": event.agent_id}
    changed = event.data.get("changes") if event.type is EventType.TASK_UPDATED else None
    changes_only_card = bool(changed) and set(changed) <= CARD_FIELDS
    names = TASK_CARD if changes_only_card else EVENT_DEFINITIONS[event.type].stale_parts
    return [name.format(**ids) for name in names]


def limit_single_cards(found: StaleParts) -> StaleParts:
    """Replace many single cards by all cards, which a page then loads with one request.

    The same applies to the cards of many agents. What replaces parts concerns all their boards.
    """
    found = _replace_many(found, AGENT_CARDS, AGENT_CARDS, "agent-cards")
    return _replace_many(found, "card-", ("card-", "current-task-"), "tasks", "agents")


def _replace_many(
    found: StaleParts, counted: str, replaced: str | tuple[str, ...], *names: str
) -> StaleParts:
    if sum(name.startswith(counted) for name in found) <= MAX_SINGLE_CARDS:
        return found
    kept = {name: boards for name, boards in found.items() if not name.startswith(replaced)}
    of_replaced = {id for name in found.keys() - kept.keys() for id in found[name]}
    return kept | {name: of_replaced | {*found.get(name, ())} for name in names}


def is_single_board(name: str) -> bool:
    """Return whether a part shows one board; its name is not sent to pages of another board."""
    return name in SINGLE_BOARD_PARTS or name.startswith(AGENT_CARDS)
