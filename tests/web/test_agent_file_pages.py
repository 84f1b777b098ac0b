"""Pages of an agent's files: list, contents, and rights."""

import re

import httpx2

from core.db.engine import TransactionFactory
from core.security.secrets import generate_token
from models import Agent
from tests.support.agent_file_pages import (
    HTMX,
    MANAGED,
    SOUL,
    TOKEN,
    address,
    files,
    shown_text,
    typed,
)
from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.world import World

__all__ = ["address", "files"]


async def test_files_are_listed_with_size_and_origin(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str], fake_gateway: FakeAgentsGateway
) -> None:
    fake_gateway.calls.clear()
    assert 'hx-trigger="load"' in (await alice.get(address)).text
    assert fake_gateway.calls == []
    for page in (await alice.get(address, headers=HTMX), await alice.get(f"{address}?wait=1")):
        names = re.findall(r'translate="no" dir="auto">(\w+\.md)</a>', page.text)
        assert names == ["AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "MEMORY.md"]
        assert "4001 characters" in page.text
        assert page.text.count("Does not exist yet") == 2
        assert page.text.count("<td>On the gateway<") == 3
        assert TOKEN not in page.text


async def test_a_file_is_shown_without_its_token(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str]
) -> None:
    page = (await alice.get(f"{address}/AGENTS.md?wait=1")).text
    assert TOKEN not in page
    assert "mc_agent_…" in page
    assert "Mine." in page
    assert "OpenClaw passes only 4,000" in (await alice.get(f"{address}/USER.md?wait=1")).text
    assert "<html" not in (await alice.get(f"{address}/SOUL.md", headers=HTMX)).text


async def test_characters_that_change_how_others_appear_are_marked(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str]
) -> None:
    files["MEMORY.md"] = "Never \u202eevig\u202c the key.\n"
    page = (await alice.get(f"{address}/MEMORY.md?wait=1")).text
    shown = page.partition("<pre")[2].partition("</pre>")[0]
    assert "\u202e" not in shown
    assert "U+202E" in shown


async def test_tokens_of_people_are_not_shown_either(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str]
) -> None:
    token = generate_token("user")
    files["MEMORY.md"] = remembered = f"Use {token} for alice.\n"
    path = f"{address}/MEMORY.md"
    assert token not in (await alice.get(f"{path}?wait=1")).text
    shown = shown_text(await alice.get(f"{path}/edit"))
    assert re.fullmatch(r"Use mc_user_… \(\w{6}\) for alice\.\n", shown)
    assert (await alice.post(path, data=typed(f"{shown}No.\n", remembered))).status_code == 303
    assert files["MEMORY.md"] == f"{remembered}No.\n"


async def test_unknown_files_and_versions_are_not_found(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str]
) -> None:
    other = "01990000-0000-7000-8000-000000000000"
    for path in ("/BOOTSTRAP.md", "/x", f"/SOUL.md/history/{other}", "/SOUL.md/history/x"):
        assert (await alice.get(f"{address}{path}")).status_code == 404
    for action in ("", "/edit", "/reviews"):
        assert (await alice.post(f"{address}/x{action}", data=typed("x"))).status_code == 404
    missing = await alice.post(f"{address}/SOUL.md/reviews", data={"restored": other})
    assert missing.status_code == 404


async def test_only_admins_who_read_the_board_see_files(
    bob: httpx2.AsyncClient,
    rita: httpx2.AsyncClient,
    dana: httpx2.AsyncClient,
    charlie: httpx2.AsyncClient,
    address: str,
    files: dict[str, str],
) -> None:
    soul = address.replace("/files", "/soul")
    for browser, status in ((bob, 403), (rita, 403), (dana, 403), (charlie, 404)):
        for path in ("", "/SOUL.md", "/SOUL.md/edit", "/SOUL.md/history"):
            assert (await browser.get(f"{address}{path}")).status_code == status
        assert (await browser.get(soul)).status_code == status
        for action in ("", "/edit", "/reviews"):
            page = await browser.post(f"{address}/SOUL.md{action}", data=typed("x"))
            assert page.status_code == status
    assert files["SOUL.md"] == SOUL


async def test_who_only_reads_the_board_or_a_linked_agent_edits_nothing(
    alice: httpx2.AsyncClient,
    dana: httpx2.AsyncClient,
    address: str,
    files: dict[str, str],
    transaction: TransactionFactory,
    world: World,
) -> None:
    async with transaction() as session:
        member = await session.merge(world.dana_member)
        member.all_boards_read = True
    page = (await dana.get(f"{address}/SOUL.md?wait=1")).text
    assert "You can read the board of this agent but not change it." in page
    assert f'href="{address}/SOUL.md/edit"' not in page
    for action in ("", "/edit", "/reviews"):
        refused = await dana.post(f"{address}/SOUL.md{action}", data=typed("x"))
        assert refused.status_code == 403
    async with transaction() as session:
        (await session.get_one(Agent, world.worker.id)).is_linked = True
    page = (await alice.get(f"{address}/SOUL.md?wait=1")).text
    assert "Mission Control does not change its files." in page
    assert (await alice.post(f"{address}/SOUL.md", data=typed("x"))).status_code == 409
    assert (await alice.get(f"{address}/SOUL.md/edit")).status_code == 409
    assert files["SOUL.md"] == SOUL


async def test_only_the_beginning_of_a_very_long_file_is_shown(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str]
) -> None:
    files["SOUL.md"] = "a" * 100_000 + "END"
    page = (await alice.get(f"{address}/SOUL.md?wait=1")).text
    assert "too long to be edited" in page
    assert "Only the first 100,000 characters are shown." in page
    assert "aEND" not in page
    for base in ("", files["SOUL.md"]):
        conflict = await alice.post(f"{address}/SOUL.md/reviews", data=typed("b", base))
        assert conflict.status_code == 409
        assert "aEND" not in conflict.text
    editor = await alice.get(f"{address}/SOUL.md/edit")
    assert (editor.status_code, editor.headers["Location"]) == (303, f"{address}/SOUL.md")
    files["AGENTS.md"] = "a" * 100_000 + f"END\n{MANAGED}"
    assert "aEND" not in (await alice.get(f"{address}/AGENTS.md?wait=1")).text


async def test_a_half_of_a_character_in_a_file_is_replaced(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str]
) -> None:
    files["MEMORY.md"] = "Cut \ud83d here.\n"
    for path in ("?wait=1", "/MEMORY.md?wait=1", "/MEMORY.md/edit"):
        page = await alice.get(f"{address}{path}")
        assert page.status_code == 200, path
        assert path == "?wait=1" or "Cut \ufffd here." in page.text
