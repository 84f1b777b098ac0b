"""The editor of an agent's files: review, conflicts, faults, and managed parts."""

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import AgentFileVersion, Event, EventType, FileAuthor
from tests.support.agent_file_pages import (
    HTMX,
    MANAGED,
    SOUL,
    TOKEN,
    address,
    authors,
    files,
    shown_text,
    typed,
    version_of,
)
from tests.support.fake_agents_gateway import FakeAgentsGateway, LostAfter
from tests.support.world import World
from web.agents.file_views import align_texts

__all__ = ["address", "files"]


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


async def test_a_review_that_is_requested_again_compares_with_the_present_file(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str]
) -> None:
    form = typed("One.\nMine.\nThree.\n") | {"form_id": "0" * 32}
    assert (await alice.post(f"{address}/SOUL.md/reviews", data=form)).status_code == 200
    files["SOUL.md"] = "One.\nTheirs.\nThree.\n"
    assert (await alice.post(f"{address}/SOUL.md/reviews", data=form)).status_code == 409


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
        ({"content": "a\0b"}, "It contains a character that cannot be stored."),
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


async def test_long_texts_are_not_compared(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str], transaction: TransactionFactory
) -> None:
    files["SOUL.md"] = long = "a\n" * 2_001
    review = await alice.post(f"{address}/SOUL.md/reviews", data=typed("b", long))
    assert "The texts are too long to be compared." in review.text
    conflict = await alice.post(f"{address}/SOUL.md/reviews", data=typed("b"))
    assert "The texts are too long to be compared." in conflict.text
