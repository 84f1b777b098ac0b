"""Files of an agent on a fake gateway, and the pages that show and edit them."""

import html
import re

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from core.security.secrets import hash_token
from models import AgentFileVersion, FileAuthor, Gateway
from services.gateways.files import END_OF_MANAGED_PART
from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.world import World

HTMX = {"HX-Request": "true"}
TOKEN = "mc_agent_Secret-1"
MANAGED = f"# Rules\nAUTH_TOKEN={TOKEN}\n\n{END_OF_MANAGED_PART}\n"
SOUL = "One.\nTwo.\nThree.\n"


@pytest.fixture
async def files(fake_gateway: FakeAgentsGateway, gateway: Gateway) -> dict[str, str]:
    """The files of the worker of Launch on the gateway, which tests may read and change."""
    files = {"AGENTS.md": f"{MANAGED}\nMine.\n", "SOUL.md": SOUL, "USER.md": "u" * 4_001}
    fake_gateway.files["mc-1"] = files
    return files


@pytest.fixture
def address(world: World) -> str:
    return f"/agents/{world.worker.id}/files"


def version_of(text: str) -> str:
    return hash_token(text)


def shown_text(page: httpx2.Response) -> str:
    """Return the text in the editor."""
    [text] = re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", page.text, re.DOTALL)
    return html.unescape(text)


def typed(content: str, base: str = SOUL) -> dict[str, str]:
    return {"content": content, "version": version_of(base)}


async def authors(transaction: TransactionFactory, name: str = "SOUL.md") -> list[FileAuthor]:
    async with transaction() as session:
        query = select(AgentFileVersion.author).where(AgentFileVersion.name == name)
        newest_first = (AgentFileVersion.created_at.desc(), AgentFileVersion.id.desc())
        return list(await session.scalars(query.order_by(*newest_first)))


def shown_text_of_review(page: httpx2.Response) -> list[str]:
    """Return the hidden texts of the forms that save and that continue editing."""
    found = re.findall(r"<textarea[^>]*hidden>\n(.*?)</textarea>", page.text, re.DOTALL)
    return [html.unescape(text) for text in found]
