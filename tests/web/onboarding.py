"""What is said and sent while a board is set up on its pages, and how an answer is read."""

import html
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

Browser = httpx2.AsyncClient
Says = Callable[..., Awaitable[dict[str, Any]]]

HTMX = {"HX-Request": "true"}
QUESTION = {
    "question": "How much may it decide?",
    "options": ["Asks first", "Balanced", "Something else, I'll type it"],
}
DRAFT = {
    "status": "complete",
    "board_type": "goal",
    "objective": "Ten partners live",
    "success_metrics": {"Partners live": "10", "Where": ["here"]},
    "target_date": "2027-01-31",
    "user_profile": {"preferred_name": "Al", "timezone": "Europe/Lisbon"},
    "lead_agent": {
        "name": "Ava",
        "identity_profile": {"role": "Keeper", "purpose": "Partners"},
        "autonomy_level": "balanced",
        "custom_instructions": "Ask before e-mails.",
    },
}
TYPED = {
    "board_type": "goal",
    "objective": "Eleven partners",
    "measure": ["Partners live", "", ""],
    "target": ["11", "", ""],
    "target_date": "2027-02-01",
    "name": "Eva",
    "role": "",
    "autonomy_level": "autonomous",
    "preferred_name": "Alice",
}


def words_of(page: httpx2.Response) -> str:
    """Return what a page says, without its markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def seen_on(page: httpx2.Response) -> dict[str, str]:
    """Return which conversation a page knows of."""
    fields = re.findall(r'<input type="hidden" name="(last|was_open)" value="([^"]*)">', page.text)
    return dict(fields)


def asked_in(page: httpx2.Response) -> str:
    """Return the id of the question that a page asks."""
    found = re.search(r'id="answer-([\w-]+)"', page.text)
    assert found
    return found[1]
