"""Pages of an agent's files: list, editor with review, conflicts, history, and rights."""

import html
import re
from dataclasses import replace

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from core.security.secrets import generate_token, hash_token
from models import Agent, AgentFileVersion, Event, EventType, FileAuthor, Gateway
from services import agents, boards, gateways
from services.gateways import FileContent
from services.gateways.files import END_OF_MANAGED_PART
from tests.support.fake_agents_gateway import FakeAgentsGateway, LostAfter
from tests.support.world import World
from web.agents.file_presenter import align_texts

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


async def test_a_file_is_edited_reviewed_and_saved(
    alice: httpx2.AsyncClient,
    address: str,
    files: dict[str, str],
    transaction: TransactionFactory,
    world: World,
) -> None:
    path, new = f"{address}/SOUL.md", "One.\nZwei <b>.\nThree.\n"
    editor = await alice.get(f"{path}/edit")
    assert shown_text(editor) == SOUL
    assert version_of(SOUL) in editor.text
    review = await alice.post(f"{path}/reviews", data=typed(new))
    assert '<del dir="auto">Two.</del>' in review.text
    assert '<ins dir="auto">Zwei &lt;b&gt;.</ins>' in review.text
    assert files["SOUL.md"] == SOUL
    again = await alice.post(f"{path}/edit", data=typed(new))
    assert shown_text(again) == new
    saved = await alice.post(path, data=typed(new))
    assert saved.status_code == 303
    assert saved.headers["Location"].startswith(f"{path}?saved=")
    assert files["SOUL.md"] == new
    assert await authors(transaction) == [FileAuthor.USER, FileAuthor.GATEWAY]
    assert f"Last change: {world.alice.name}, " in (await alice.get(f"{path}?wait=1")).text
    async with transaction() as session:
        query = select(Event).where(Event.type == EventType.AGENT_UPDATED).order_by(Event.seq)
        event = (await session.scalars(query)).all()[-1]
    assert event.data["changed"] == ["SOUL.md"]
    assert event.user_id == world.alice.id


async def test_a_file_that_has_changed_is_shown_beside_the_edited_text(
    alice: httpx2.AsyncClient,
    address: str,
    files: dict[str, str],
    transaction: TransactionFactory,
) -> None:
    path, mine, theirs = f"{address}/SOUL.md", "One.\nMine.\nThree.\n", "One.\nTheirs.\nThree.\n"
    files["SOUL.md"] = theirs
    for action in ("/reviews", ""):
        page = await alice.post(f"{path}{action}", data=typed(mine))
        assert page.status_code == 409
        assert '<del dir="auto">Theirs.</del>' in page.text
        assert '<ins dir="auto">Mine.</ins>' in page.text
        assert shown_text(page) == mine
        assert f'name="version" value="{version_of(theirs)}"' in page.text
    assert files["SOUL.md"] == theirs
    assert await authors(transaction) == []
    merged = typed("One.\nOurs.\nThree.\n", theirs)
    assert '<ins dir="auto">Ours.</ins>' in (await alice.post(f"{path}/reviews", data=merged)).text
    assert (await alice.post(path, data=merged)).status_code == 303
    assert files["SOUL.md"] == merged["content"]


async def test_two_people_edit_the_same_version_and_both_texts_are_kept(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str], transaction: TransactionFactory
) -> None:
    path = f"{address}/SOUL.md"
    assert (await alice.post(path, data=typed("First."))).status_code == 303
    second = await alice.post(path, data=typed("Second."))
    assert second.status_code == 409
    assert "First." in second.text
    assert shown_text(second) == "Second."
    assert files["SOUL.md"] == "First."


async def test_a_text_without_changes_cannot_be_saved(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str]
) -> None:
    page = await alice.post(f"{address}/SOUL.md/reviews", data=typed(SOUL))
    assert "There are no changes." in page.text
    assert "data-busy" not in page.text.partition('id="review-title"')[2].partition("</main>")[0]


async def test_a_new_file_is_created(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str]
) -> None:
    path = f"{address}/MEMORY.md"
    assert shown_text(await alice.get(f"{path}/edit")) == ""
    assert (await alice.post(path, data=typed("Remember.\n", ""))).status_code == 303
    assert files["MEMORY.md"] == "Remember.\n"


async def test_the_part_of_mission_control_stays_as_it_is(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str], transaction: TransactionFactory
) -> None:
    path = f"{address}/AGENTS.md"
    assert shown_text(await alice.get(f"{path}/edit")) == "Mine.\n"
    assert (await alice.post(path, data=typed("Hers.", "Mine.\n"))).status_code == 303
    assert files["AGENTS.md"] == f"{MANAGED}\nHers.\n"
    async with transaction() as session:
        contents = await session.scalars(select(AgentFileVersion.content))
        assert TOKEN not in str(contents.all())


async def test_a_person_is_the_author_of_notes_without_a_last_line_break(
    alice: httpx2.AsyncClient,
    address: str,
    files: dict[str, str],
    fake_gateway: FakeAgentsGateway,
    world: World,
) -> None:
    path = f"{address}/AGENTS.md"
    fake_gateway.fault = lambda method, _: LostAfter() if method == "agents.files.set" else None
    assert (await alice.post(path, data=typed("Hers.", "Mine.\n"))).status_code == 502
    fake_gateway.fault = lambda _method, _params: None
    assert (await alice.post(path, data=typed("Hers.", "Mine.\n"))).status_code == 303
    assert f"Last change: {world.alice.name}, " in (await alice.get(f"{path}?wait=1")).text


async def test_typed_tokens_are_written_but_not_in_the_history(
    alice: httpx2.AsyncClient,
    address: str,
    files: dict[str, str],
    world: World,
    transaction: TransactionFactory,
) -> None:
    text = f"Use {TOKEN}."
    for _ in range(2):
        path = f"{address}/SOUL.md"
        assert (await alice.post(path, data=typed(text))).status_code == 303
    assert files["SOUL.md"] == text
    path = f"/agents/{world.lead.id}/files/SOUL.md"
    assert (await alice.post(path, data=typed(text, ""))).status_code == 303
    shown = shown_text(await alice.get(f"{path}/edit"))
    assert TOKEN not in shown
    assert (await alice.post(path, data=typed(f"{shown} Twice.", text))).status_code == 303
    async with transaction() as session:
        assert (await session.get_one(Agent, world.lead.id)).soul_template == f"{text} Twice."
        contents = await session.scalars(select(AgentFileVersion.content))
        assert TOKEN not in str(contents.all())


async def test_a_version_is_shown_and_restored_as_a_new_one(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str], transaction: TransactionFactory
) -> None:
    path = f"{address}/SOUL.md"
    assert "No versions yet." in (await alice.get(f"{path}/history")).text
    await alice.post(path, data=typed("New.\n"))
    history = (await alice.get(f"{path}/history")).text
    new, old = re.findall(rf'href="({path}/history/([\w-]+))"', history)
    assert '<ins dir="auto">New.</ins>' in (await alice.get(new[0])).text
    assert "First stored version" in (await alice.get(old[0])).text
    review = await alice.post(f"{path}/reviews", data={"restored": old[1]})
    assert '<ins dir="auto">One.</ins>' in review.text
    assert shown_text_of_review(review) == [SOUL, SOUL]
    assert files["SOUL.md"] == "New.\n"
    assert (await alice.post(path, data=typed(SOUL, "New.\n"))).status_code == 303
    assert files["SOUL.md"] == SOUL
    assert await authors(transaction) == [FileAuthor.USER, FileAuthor.USER, FileAuthor.GATEWAY]


def shown_text_of_review(page: httpx2.Response) -> list[str]:
    """Return the hidden texts of the forms that save and that continue editing."""
    found = re.findall(r"<textarea[^>]*hidden>\n(.*?)</textarea>", page.text, re.DOTALL)
    return [html.unescape(text) for text in found]


async def test_a_gateway_that_is_away_is_named_and_the_text_is_kept(
    alice: httpx2.AsyncClient,
    address: str,
    files: dict[str, str],
    fake_gateway: FakeAgentsGateway,
    transaction: TransactionFactory,
) -> None:
    fake_gateway.connect_error = {
        "code": "INVALID_REQUEST",
        "details": {"code": "AUTH_TOKEN_MISMATCH"},
    }
    path = f"{address}/SOUL.md"
    for shown in (address, path, address.replace("/files", "/soul")):
        part = (await alice.get(shown, headers=HTMX)).text
        assert "Harbour did not answer." in part
        assert "tries again every 20 seconds" in part
        assert f'hx-get="{shown}"' in part
        assert "every 20s" in part
    assert "Harbour did not answer." in (await alice.get(f"{path}/edit")).text
    for action in ("/reviews", ""):
        page = await alice.post(f"{path}{action}", data=typed("Kept text."))
        assert page.status_code == 502
        assert shown_text(page) == "Kept text."
        assert version_of(SOUL) in page.text
        assert "The token is wrong." in page.text
    assert files["SOUL.md"] == SOUL
    assert await authors(transaction) == []
    assert "History of SOUL.md" in (await alice.get(f"{path}/history")).text


async def test_a_lost_response_is_repaired_by_saving_again(
    alice: httpx2.AsyncClient,
    address: str,
    files: dict[str, str],
    fake_gateway: FakeAgentsGateway,
    transaction: TransactionFactory,
) -> None:
    fake_gateway.fault = lambda method, _: LostAfter() if method == "agents.files.set" else None
    assert (await alice.post(f"{address}/SOUL.md", data=typed("New."))).status_code == 502
    fake_gateway.fault = lambda _method, _params: None
    assert (await alice.post(f"{address}/SOUL.md", data=typed("New."))).status_code == 303
    assert await authors(transaction) == [FileAuthor.USER, FileAuthor.GATEWAY]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"content": "x" * 100_001}, "At most 100,000 characters."),
        ({"content": "a\0b"}, "There is a character in it that cannot be stored."),
        ({"version": "v" * 65}, ""),
    ],
)
async def test_an_invalid_text_is_kept_and_not_written(
    alice: httpx2.AsyncClient,
    address: str,
    files: dict[str, str],
    wrong: dict[str, str],
    sentence: str,
) -> None:
    for action in ("/reviews", ""):
        page = await alice.post(f"{address}/SOUL.md{action}", data=typed("Kept.") | wrong)
        assert page.status_code == 422
        assert sentence in page.text
    assert files["SOUL.md"] == SOUL


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
    assert "You can read the board of this agent, but not change it." in page
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


async def test_the_soul_of_an_agent_without_a_gateway_is_stored_here(
    alice: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    at = f"/agents/{world.lead.id}"
    page = (await alice.get(f"{at}/soul")).text
    assert "There is no text yet." in page
    assert 'href="/souls"' in page
    assert f'href="{at}/files/SOUL.md/edit"' in page
    assert "is on no gateway" in (await alice.get(f"{at}/files")).text
    path = f"{at}/files/SOUL.md"
    assert (await alice.post(path, data=typed("Be kind.", ""))).status_code == 303
    assert (await alice.post(path, data=typed("Be brief.", ""))).status_code == 409
    assert (await alice.post(path, data=typed("Be brief.", "Be kind."))).status_code == 303
    async with transaction() as session:
        assert (await session.get_one(Agent, world.lead.id)).soul_template == "Be brief."
    assert await authors(transaction) == [FileAuthor.USER, FileAuthor.USER]
    assert (await alice.get(f"{at}/files/USER.md")).status_code == 404
    assert (await alice.post(f"{at}/files/USER.md", data=typed("x"))).status_code == 404


def test_only_differing_passages_are_beside_each_other() -> None:
    same = [str(number) for number in range(20)]
    left, right = same.copy(), same.copy()
    left[1], right[1], right[18] = "old", "new", "added"
    passages = align_texts("\n".join(left), "\n".join(right))
    assert passages is not None
    assert [[(line.left, line.right) for line in lines if line.differs] for lines in passages] == [
        [("old", "new")],
        [("18", "added")],
    ]
    assert [lines[0].left for lines in passages] == ["0", "15"]
    assert [lines[-1].left for lines in passages] == ["4", "19"]
    assert align_texts("same", "same") == []


def test_many_lines_that_differ_are_not_beside_each_other() -> None:
    """Comparing many lines with one that repeats takes minutes, and nobody reads so many."""
    left, right = ("same\n" + f"{side}\nsame\n" * 501 for side in ("left", "right"))
    assert align_texts(f"left\n{left}left", f"right\n{right}right") is None


async def test_every_change_of_a_soul_without_a_gateway_becomes_a_version(
    alice: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        changes = {"soul_template": "Be kind."}
        await agents.update_agent(session, world.alice_member, world.worker.id, changes)
    async with transaction() as session:
        board = await boards.lock_board(session, world.lead, world.board.id)
        await agents.write_soul(session, world.lead, board, world.worker.id, "Be brief.")
    assert await authors(transaction) == [FileAuthor.AGENT, FileAuthor.USER]
    path = f"/agents/{world.worker.id}/files/SOUL.md/history"
    history = (await alice.get(path)).text
    assert history.index("A lead</span>") < history.rindex("Alice</span>")
    async with transaction() as session:
        changes = {"soul_template": "Be quick.", "name": "Quick"}
        await agents.update_agent(session, world.alice_member, world.worker.id, changes)
    authors_now = [FileAuthor.USER, FileAuthor.AGENT, FileAuthor.USER]
    assert await authors(transaction) == authors_now


async def test_long_texts_are_not_compared(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str], transaction: TransactionFactory
) -> None:
    files["SOUL.md"] = long = "a\n" * 2_001
    review = await alice.post(f"{address}/SOUL.md/reviews", data=typed("b", long))
    assert "The texts are too long to be compared." in review.text
    conflict = await alice.post(f"{address}/SOUL.md/reviews", data=typed("b"))
    assert "The texts are too long to be compared." in conflict.text


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


async def test_a_former_member_stays_the_author_without_a_name(
    alice: httpx2.AsyncClient, address: str, world: World, transaction: TransactionFactory
) -> None:
    kept = FileContent("SOUL.md", "Old.", FileAuthor.USER)
    async with transaction() as session:
        await gateways.record_file_versions(session, world.worker.id, [kept])
        await gateways.record_file_versions(
            session, world.worker.id, [replace(kept, content="Newer.", author=FileAuthor.SYNC)]
        )
    history = (await alice.get(f"{address}/SOUL.md/history")).text
    assert history.index("Mission Control</span>") < history.index("A former member")
