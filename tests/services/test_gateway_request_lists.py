"""Lists of gateway requests: they load no contents, which can be very long."""

from core.clock import now
from core.db.engine import TransactionFactory
from core.paging import Paging
from models import RequestState
from services import inbox
from services.gateways import requests
from services.gateways.requests import RequestDetail
from tests.support.app_on_transactions import ReadsOn
from tests.support.gateway_rows import make_gateway, make_gateway_request, make_run
from tests.support.world import World

CONTENTS = {"exact", "content", "context"}


async def test_lists_load_no_contents(transaction: TransactionFactory, world: World) -> None:
    gateway = make_gateway(world.tern)
    run = make_run(gateway, world.worker, phase="waiting")
    waiting = make_gateway_request(gateway, world.worker, run_id=run.run_id, content={"a": 1})
    answered = make_gateway_request(
        gateway,
        world.worker,
        state=RequestState.ANSWERED,
        answer={"decision": "deny"},
        answered_by="Bob",
        answered_at=now(),
        ended_at=now(),
    )
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all([run, waiting, answered])
    async with ReadsOn(transaction).acquire() as reader:
        member = world.bob_member
        shown = await inbox.load_waiting_items(reader, member)
        ended = await requests.list_ended_requests(reader, member, Paging())
        of_runs = await requests.load_requests_of_runs(reader, member, [run])
        ids = [waiting.request_id, answered.request_id]
        of_ids = await requests.load_requests_by_gateway_id(reader, member, gateway.id, ids)
    details = [*shown.answered_requests, *ended.items, *of_runs.values()]
    details += [one.detail for one in shown.page.items if isinstance(one.detail, RequestDetail)]
    found = [detail.request for detail in details] + list(of_ids.values())
    assert sorted(one.id for one in found) == sorted([answered.id, waiting.id] * 3)
    for request in found:
        assert not vars(request).keys() & CONTENTS
        assert request.title == "rm -rf build"
