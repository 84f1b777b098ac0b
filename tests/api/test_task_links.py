"""The links of a task through the API."""

from core.clock import now
from models import LinkKind, TaskLink
from tests.support.forge_payloads import GITHUB_URL


async def add_link(transaction, world):
    task = world.make_task()
    link = TaskLink(
        **{"board_id": task.board_id, "kind": LinkKind.CHANGE, "key": "x"},
        **{"repository": "acme/app", "reference": "#12", "title": "Fix", "commit": "7c2"},
        **{"url": f"{GITHUB_URL}/pull/12", "state": "open", "checks": {"test": "passing"}},
        **{"checks_state": "passing", "created_at": now(), "updated_at": now()},
    )
    async with transaction() as session:
        session.add(task)
        await session.flush()
        link.task_id = task.id
        session.add(link)
    return f"/boards/{task.board_id}/tasks/{task.id}/links"


async def test_users_and_agents_of_the_board_read_the_links_of_a_task(
    alice, rita, worker, transaction, world
) -> None:
    path = await add_link(transaction, world)
    for client in (alice, rita, worker):
        [link] = (await client.get(path)).json()
        assert (link["kind"], link["reference"], link["state"]) == ("change", "#12", "open")
        assert (link["url"], link["checks_state"]) == (f"{GITHUB_URL}/pull/12", "passing")
    missing = path.replace(path.split("/")[-2], str(world.board.id))
    assert (await alice.get(missing)).status_code == 404


async def test_others_do_not_see_the_links_of_a_task(
    anonymous, charlie, transaction, world
) -> None:
    path = await add_link(transaction, world)
    assert (await charlie.get(path)).status_code == 404
    assert (await anonymous.get(path)).status_code == 401
