"""A decision and an event change one row of the inbox, not the complete list."""

import re

import pytest

from models import Approval, EventType, PolicyEffect, PolicyVerdict
from services.events import EVENT_DEFINITIONS
from services.inbox import WaitingOrder
from tests.support.approval_pages import HTMX, ask, checkbox
from tests.support.statement_counter import count_all_statements
from tests.web.test_inbox_orders import DECIDABLE, MIXED, add_equal, add_mixed, sort_by
from tests.web.test_inbox_pages import PENDING, add_pending

__all__ = ["ask"]

ITEM = re.compile(r'<li class="ask-row" id="approval-([0-9a-f-]{36})"')


async def load_rows(client, *approvals: Approval, query: str = "") -> str:
    ids = "&".join(f"id={one.id}" for one in approvals)
    response = await client.get(f"/approvals/rows?{ids}{query}", headers=HTMX)
    assert response.status_code == 200
    return response.text


async def test_a_decision_answers_with_one_row_and_the_next_request(
    alice, transaction, world
) -> None:
    sizes, counts = [], []
    for number in (20, PENDING):
        added = await add_pending(transaction, world, number)
        first, second, *_ = [
            one
            for one in sorted(added, key=lambda one: (one.created_at, one.id))
            if not one.policy_verdict.decider_ids and one.first_approver_id is None
        ]
        path = f"/approvals/{first.id}/answers"
        await alice.post(path, data={"status": "rejected"}, headers=HTMX)
        with count_all_statements() as statements:
            path = f"/approvals/{second.id}/answers"
            part = await alice.post(path, data={"status": "rejected"}, headers=HTMX)
        assert ITEM.findall(part.text) == [str(second.id)]
        assert part.headers["HX-Retarget"] == "#detail"
        [shown] = re.findall(r'data-shown="approval-([0-9a-f-]{36})"', part.text)
        assert f'id="detail-{shown}"' in part.text
        assert 'id="bulk"' not in part.text
        sizes.append(len(part.content))
        counts.append(len(statements))
        async with transaction() as session:
            for one in added:
                await session.delete(await session.get_one(Approval, one.id))
    assert counts[0] == counts[1]
    assert abs(sizes[0] - sizes[1]) < 200
    assert max(sizes) < 12_000


@pytest.mark.parametrize("order", WaitingOrder)
async def test_a_decision_says_where_the_next_request_is_in_the_list(
    alice, transaction, world, order: WaitingOrder
) -> None:
    listed = sort_by(order, await add_mixed(transaction, world), world)
    last = DECIDABLE - 2  # that Alice can decide, after the first decision
    for place, following in [(7, 7), (last, 0)]:
        path = f"/approvals/{listed.pop(place)}/answers?order={order}"
        part = (await alice.post(path, data={"status": "rejected"}, headers=HTMX)).text
        assert f'id="detail-{listed[following]}"' in part
        assert f"{following + 1} of {len(listed)}<" in part
        [arrow] = re.findall(r'href="/approvals/([0-9a-f-]{36})[^"]*" aria-label="Next item"', part)
        assert arrow == listed[following + 1]


async def test_the_last_request_of_the_list_has_no_next_one(alice, ask) -> None:
    added = [await ask(title) for title in ("Newest", "Newer", "Older", "Oldest")]
    path = f"/approvals/{added[1].id}/answers"
    part = (await alice.post(path, data={"status": "rejected"}, headers=HTMX)).text
    assert f'id="detail-{added[0].id}"' in part
    assert "3 of 3<" in part
    assert "Next item" not in part


async def test_the_statements_of_a_decision_are_short(alice, transaction, world) -> None:
    """Each connection plans them anew several times, which takes longer than to run them."""
    first, second, *_ = await add_pending(transaction, world, 20)
    for one in (first, second):
        with count_all_statements() as statements:
            path = f"/approvals/{one.id}/answers"
            await alice.post(path, data={"status": "rejected"}, headers=HTMX)
    assert max(map(len, statements)) < 40_000


async def test_a_decision_of_one_of_two_people_reloads_the_list(alice, ask) -> None:
    two = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two")
    first, _second = await ask("First", policy_verdict=two), await ask("Second")
    sent = {"status": "approved", "action_hash": first.action_hash}
    part = await alice.post(f"/approvals/{first.id}/answers", data=sent, headers=HTMX)
    assert f'<li id="approval-{first.id}" data-reload>' in part.text


async def test_a_row_has_its_place_in_the_order_of_the_list(alice, transaction, world) -> None:
    added = await add_mixed(transaction, world)
    by_id = {str(one.id): one for one in added}
    for order in WaitingOrder:
        page = (await alice.get(f"/approvals?order={order}")).text
        listed = dict(re.findall(r'id="approval-([0-9a-f-]{36})"[^>]*data-place="([^"]*)"', page))
        assert [*listed] == sort_by(order, added, world)[:50]
        some = [*listed][3:8]
        part = await load_rows(alice, *(by_id[id] for id in some), query=f"&order={order}")
        places = re.findall(r'id="approval-([0-9a-f-]{36})"[^>]*data-place="([^"]*)"', part)
        assert dict(places) == {id: listed[id] for id in some}
        assert f'data-total="{MIXED}"' in part


async def test_rows_show_what_happened_to_a_request(alice, ask) -> None:
    waiting, decided = await ask("Waiting"), await ask("Decided")
    sent = {"shown": checkbox(decided), "status": "approved"}
    await alice.post("/approvals/answers", data=sent, headers=HTMX)
    part = await load_rows(alice, waiting, decided)
    assert ITEM.findall(part) == [str(waiting.id), str(decided.id)]
    assert part.count("data-decided") == 1
    assert 'hx-target="#needs-count" hx-swap="innerHTML"><span>1</span>' in part
    part = await load_rows(alice, waiting, decided, query="&risk=low")  # neither is listed
    assert ITEM.findall(part) == []
    assert part.count("data-gone") == 2


async def test_rows_of_other_organizations_are_not_shown(charlie, transaction, ask) -> None:
    one = await ask("Secret")
    part = await load_rows(charlie, one)
    assert "Secret" not in part
    assert f'<li id="approval-{one.id}" data-gone>' in part
    unknown = await charlie.get("/approvals/rows?id=x&id=&order=x", headers=HTMX)
    assert (unknown.status_code, ITEM.findall(unknown.text)) == (200, [])


async def test_the_row_of_equal_requests_says_so(alice, transaction, world) -> None:
    [first, *_] = await add_equal(transaction, world, 3)
    part = await load_rows(alice, first)
    assert re.search(rf'id="approval-{first.id}"[^>]* data-equal', part)


def test_an_event_of_one_approval_does_not_reload_the_list() -> None:
    for type in EventType:
        names = EVENT_DEFINITIONS[type].stale_parts
        assert not {"inbox", "approval-{approval}"} <= {*names}, type
    assert "inbox" in EVENT_DEFINITIONS[EventType.TASK_DELETED].stale_parts
