"""The inbox: its lists, and approvals in full."""

import re

import pytest
from sqlalchemy import select

from core.clock import now
from models import Agent, Approval, ApprovalStatus, Event, EventType
from tests.support.approval_pages import HTMX, approving, ask, checkbox, selected, stored
from tests.support.gateway_rows import make_gateway
from web.stale_parts import list_stale_parts

__all__ = ["ask"]

AN_ID = "01a22cf9-7643-7d50-bdf4-14061302b8c5"

HOLD = {"cause": "loop", "reason": "It and Lead answer each other."}


async def test_the_first_approval_is_shown_in_full_beside_the_list(alice, ask, world) -> None:
    await ask("Newer")
    await ask("Ship <b>it</b>", agent_id=world.worker.id)

    page = (await alice.get("/approvals")).text

    assert selected(page) == "Ship &lt;b&gt;it&lt;/b&gt;?"
    assert "“Newer”?" in page
    assert "<b>Worker</b> asks" in page
    assert "It is tested." in page
    assert 'data-view="list"' in page


async def test_an_approval_has_its_own_address(alice, ask) -> None:
    await ask("First")
    second = await ask("Second")

    page = (await alice.get(f"/approvals/{second.id}")).text

    assert selected(page) == "Second?"
    assert 'data-view="detail"' in page


async def test_an_empty_inbox_says_so(alice) -> None:
    assert "Nothing needs you." in (await alice.get("/approvals")).text


async def test_requests_on_gateways_have_a_tab_if_there_is_a_gateway(
    alice, bob, world, transaction
) -> None:
    for viewer in (alice, bob):
        assert "On gateways" not in (await viewer.get("/approvals")).text
    async with transaction() as session:
        session.add(make_gateway(world.tern))
    for viewer in (alice, bob):
        assert "On gateways" in (await viewer.get("/approvals")).text


async def test_a_decided_approval_says_asked_instead_of_asks(alice, ask, world) -> None:
    decided = {"status": ApprovalStatus.APPROVED, "decided_by_user_id": world.bob.id}
    over = await ask("First", agent_id=world.worker.id, **decided)
    waiting = await ask("Second", agent_id=world.worker.id)
    assert "<b>Worker</b> asked" in (await alice.get(f"/approvals/{over.id}")).text
    assert "<b>Worker</b> asks" in (await alice.get(f"/approvals/{waiting.id}")).text


async def test_the_tabs_count_what_waits_and_what_was_decided(alice, rita, ask, world) -> None:
    decided = {"status": ApprovalStatus.APPROVED, "decided_by_user_id": world.bob.id}
    for title in ("First", "Second"):
        await ask(title, **decided)
    await ask("Third")
    for browser, waiting in ((alice, "1"), (rita, "0")):
        for query in ("", f"?board={world.board.id}", "?state=decided"):
            page = (await browser.get(f"/approvals{query}")).text
            assert f'id="waiting-count">{waiting}<' in page
            assert 'id="decided-count">2<' in page
    part = (await alice.get("/approvals", headers=HTMX)).text
    assert re.search(r'hx-target="#decided-count"[^>]*><span>2<', part)


async def test_a_new_item_is_listed_last_and_the_open_one_stays(alice, ask, transaction) -> None:
    first = await ask("First")
    page = (await alice.get("/approvals")).text
    [part] = re.findall(r'id="inbox"[^>]* hx-get="([^"]*)"', page)
    second = await ask("Second")
    async with transaction() as session:
        (await session.get_one(Approval, second.id)).created_at = now()
    reloaded = (await alice.get(part.replace("&amp;", "&"), headers=HTMX)).text
    assert listed(reloaded) == ["First", "Second"]
    assert selected(reloaded) == "First?"
    assert str(first.id) in part


@pytest.mark.parametrize("change", [{"title": "Renamed"}, {"description": "Other"}])
async def test_the_inbox_knows_the_row_of_a_task_whose_content_changes(
    alice, ask, change, transaction
) -> None:
    first = await ask("First")
    page = (await alice.get(f"/approvals/{first.id}")).text
    assert re.search(rf'id="approval-{first.id}"[^>]* data-tasks="{first.task_id}"', page)

    await alice.post(f"/boards/{first.board_id}/tasks/{first.task_id}/changes", data=change)

    async with transaction() as session:
        event = await session.scalar(select(Event).order_by(Event.seq.desc()).limit(1))
    assert event.type is EventType.TASK_UPDATED
    assert "approval-tasks" in list_stale_parts(event)  # static/inbox_rows.js finds the rows


def listed(page: str) -> list[str]:
    return re.findall(r"Complete the task “([^”]*)”\?</a></h3>", page)


async def test_the_list_can_be_limited_to_a_confidence(alice, ask) -> None:
    await ask("Unsure", confidence=40)
    await ask("Sure", confidence=90)
    assert listed((await alice.get("/approvals?min=80")).text) == ["Sure"]
    assert listed((await alice.get("/approvals?min=90")).text) == ["Sure"]
    assert listed((await alice.get("/approvals?min=91")).text) == []
    for ignored in ("-1", "many", "0"):
        page = await alice.get("/approvals", params={"min": ignored})
        assert listed(page.text) == ["Sure", "Unsure"]


async def test_items_of_boards_that_a_member_only_reads_wait_for_others(rita, bob, ask) -> None:
    await ask("First")
    page = (await rita.get("/approvals")).text
    assert listed(page) == ["First"]
    assert "Waiting for others" in page
    assert 'id="needs-count">0<' in page
    assert 'data-needs="0"' in page
    boards = (await rita.get("/boards", headers=HTMX)).text
    assert "waiting for you" not in boards
    own = (await bob.get("/approvals")).text
    assert 'id="needs-count">1<' in own
    assert 'data-needs="1"' in own
    assert "Waiting for others" not in own


async def test_a_held_agent_is_part_of_all_counts(alice, world, transaction) -> None:
    async with transaction() as session:
        held = await session.get_one(Agent, world.worker.id)
        held.held_at, held.hold = now(), HOLD
    for path in ("/approvals", f"/approvals?board={world.board.id}"):
        page = (await alice.get(path)).text
        assert 'data-needs="1"' in page
        assert ('id="needs-count">1<' in page) is (path == "/approvals")


async def test_decided_approvals_are_listed(alice, ask, world) -> None:
    await ask("Old", status=ApprovalStatus.REJECTED, decided_by_user_id=world.alice.id)
    await ask("Waiting")

    decided = (await alice.get("/approvals?state=decided")).text

    assert "You rejected" in decided
    assert "“Waiting”?" not in decided


async def test_the_inbox_is_filtered_by_board(alice, ask, world) -> None:
    await ask("First")

    assert "“First”?" in (await alice.get(f"/approvals?board={world.board.id}")).text
    assert "“First”?" not in (await alice.get(f"/approvals?board={world.garden.id}")).text
    led = await alice.get(f"/boards/{world.board.id}/approvals")
    assert led.headers["Location"] == f"/approvals?board={world.board.id}"


@pytest.mark.parametrize("query", ["kind=deploy", "risk=low", f"agent={AN_ID}", "min=91"])
async def test_a_filter_that_matches_nothing_says_what_waits(alice, ask, query: str) -> None:
    await ask("First")
    page = (await alice.get(f"/approvals?{query}")).text
    assert "No matching requests." in page
    assert '<a class="link" href="/approvals">1 item</a> waits for you.' in page
    assert "Nothing needs you." not in page


async def test_an_empty_board_says_what_waits_on_others(alice, ask, world) -> None:
    address = f"/approvals?board={world.garden.id}"
    page = (await alice.get(address)).text
    assert "Nothing needs you." in page
    assert "other boards" not in page
    await ask("First")
    page = (await alice.get(address)).text
    assert "Nothing on this board needs you." in page
    assert '<a class="link" href="/approvals">1 item on other boards</a> waits for you.' in page


@pytest.mark.parametrize(
    "query",
    [
        *("board=x", "offset=-1", f"offset={2**31 - 1}", "selected=x", "state=x", "start=x"),
        *(f"start=0.{'9' * 40}.{AN_ID}", f"start=1.{'9' * 17}.{AN_ID}", "before=0.0"),
        f"before=1.0.{AN_ID}",
    ],
)
async def test_invalid_parameters_show_the_list(alice, query) -> None:
    assert (await alice.get(f"/approvals?{query}")).status_code == 200


async def test_a_line_that_looks_like_a_header_is_shown(alice, ask) -> None:
    diff = "--- a/run.sh\n+++ b/run.sh\n@@ -1,2 +1,2 @@\n--- comment\n+++ rm -rf /\n keep"
    first = await ask("First", payload={"diff": diff + "\n--- a/two\n+++ b/two\n@@ -1 +1 @@\n+x"})

    page = (await alice.get(f"/approvals/{first.id}")).text

    assert '<del dir="auto">-- comment</del>' in page
    assert '<ins dir="auto">++ rm -rf /</ins>' in page
    assert re.findall(r'aria-label="Changes to ([^"]*)"', page) == ["run.sh", "two"]


async def test_the_changes_in_a_payload_are_readable(alice, ask) -> None:
    diff = "@@ -29,2 +29,2 @@\n ## Imports\n-up to <10,000> rows\n+up to <50,000> rows"
    first = await ask(
        "First",
        payload={
            "diff": diff,
            "changes": {"canary": {"from": "5%", "to": "25%"}, "owner": "Moss"},
            "region": "eu",
        },
        rubric_scores={"correct": 94, "reversible": 71},
    )

    page = (await alice.get(f"/approvals/{first.id}")).text

    assert '<del dir="auto">up to &lt;10,000&gt; rows</del>' in page
    assert '<ins dir="auto">up to &lt;50,000&gt; rows</ins>' in page
    assert '<span class="was" dir="auto">5%</span> 25%' in page
    assert '<dt dir="auto">Region</dt><dd dir="auto">eu</dd>' in page
    assert "payload.diff" in page


@pytest.mark.parametrize(
    "payload",
    [
        {"changes": [1, None, {"x": []}, ["a", "b"]]},
        {"changes": {"a": [1, 2], "b": {"to": None}, "": {}}},
        {"diff": 7, "patch": [{"file": "a", "diff": "+x"}], "title": 3, "decision": "x"},
        {"diff": "@@ -999999999 +1 @@\n-x"},
    ],
)
async def test_an_unusual_payload_is_shown(alice, ask, payload) -> None:
    first = await ask("First", payload=payload)
    assert (await alice.get(f"/approvals/{first.id}")).status_code == 200


async def test_readers_see_approvals_without_decision_forms(rita, ask, transaction) -> None:
    first = await ask("First")

    page = (await rita.get(f"/approvals/{first.id}")).text
    assert selected(page) == "First?"
    assert "You can read this board but not change it." in page
    assert 'value="approved"' not in page
    assert "data-pick " not in page

    for way, sent in [
        ("answers", approving(first)),
        ("undoings", {}),
        ("questions", {"question": "x"}),
    ]:
        response = await rita.post(f"/approvals/{first.id}/{way}", data=sent)
        assert response.status_code == 403, way
    await rita.post("/approvals/answers", data={"shown": checkbox(first), "status": "approved"})
    assert (await stored(transaction, first)).decided_status is None


async def test_approvals_of_other_organizations_are_not_found(charlie, ask, transaction) -> None:
    first = await ask("First")

    assert (await charlie.get(f"/approvals/{first.id}")).status_code == 404
    assert "“First”?" not in (await charlie.get("/approvals")).text
    for way, sent in [
        ("answers", approving(first)),
        ("undoings", {}),
        ("questions", {"question": "x"}),
    ]:
        response = await charlie.post(f"/approvals/{first.id}/{way}", data=sent)
        assert response.status_code == 404, way
    await charlie.post(
        "/approvals/answers", data={"shown": checkbox(first), "status": "approved", "sure": "on"}
    )
    assert (await stored(transaction, first)).decided_status is None
