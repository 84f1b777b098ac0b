"""Contents of onboarding conversations and forms, and parsers of their pages."""

import html
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

Browser = httpx2.AsyncClient
PostAgentMessage = Callable[..., Awaitable[dict[str, Any]]]

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
SUBMITTED = {
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


def extract_text(page: httpx2.Response) -> str:
    """Return the text of a page without its markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def parse_hidden_fields(page: httpx2.Response) -> dict[str, str]:
    """Return the hidden fields that identify the conversation of a page."""
    fields = re.findall(r'<input type="hidden" name="(last|was_open)" value="([^"]*)">', page.text)
    return dict(fields)


def parse_question_id(page: httpx2.Response) -> str:
    """Return the id of the open question of a page."""
    found = re.search(r'id="answer-([\w-]+)"', page.text)
    assert found
    return found[1]
