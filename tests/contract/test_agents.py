"""The contract of agents (agents-and-gateways 2, 6 and 7), for those without a gateway."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, AgentStatus, AgentToken, DesiredState, ProvisioningStep, new_id
from tests.support.api_fixtures import Client
from tests.support.gateway_rows import make_gateway
from tests.support.people_rows import make_board_access, make_member
from tests.support.world import World


async def test_an_agent_is_created_with_a_token_that_is_shown_once(
    alice: Client, anonymous: Client, world: World
) -> None:
    """W-12. 7.2, decision 11."""
    board = str(world.board.id)
    created = (await alice.post("/agents", json={"name": "  Ada ", "board_id": board})).json()
    assert (created["name"], created["status"], created["board_id"]) == (
        "Ada",
        "provisioning",
        board,
    )
    assert created["heartbeat_config"] == {
        "every": "10m",
        "target": "last",
        "includeReasoning": False,
    }
    assert created["is_board_lead"] is created["is_gateway_main"] is False
    read = (await alice.get(f"/agents/{created['id']}")).json()
    assert created == read | {"token": created["token"]}
    anonymous.headers["X-Agent-Token"] = created["token"]
    health = (await anonymous.get("/agent/healthz")).json()
    assert health == {
        "ok": True,
        "agent_id": created["id"],
        "board_id": board,
        "gateway_id": None,
        "status": "online",
        "is_board_lead": False,
    }
    assert (await alice.get(f"/agents/{created['id']}")).json()["status"] == "online"


async def test_a_new_token_ends_the_old_one_when_it_is_first_used(
    alice: Client, worker: Client, anonymous: Client, world: World
) -> None:
    """W-24. A27.7. Decision 11."""
    issued = (await alice.post(f"/agents/{world.worker.id}/tokens")).json()
    assert issued["agent_id"] == str(world.worker.id)
    assert (await worker.get("/agent/healthz")).status_code == 200
    anonymous.headers["Authorization"] = f"Bearer {issued['token']}"
    assert (await anonymous.get("/agent/healthz")).status_code == 200
    assert (await worker.get("/agent/healthz")).status_code == 401


async def test_a_token_of_an_agent_ends_only_if_an_end_was_chosen(
    alice: Client,
    bob: Client,
    charlie: Client,
    anonymous: Client,
    transaction: TransactionFactory,
    world: World,
) -> None:
    path = f"/agents/{world.worker.id}"
    without_end = (await alice.post(f"{path}/tokens")).json()
    assert without_end["expires_at"] is None
    for client, status in ((bob, 403), (charlie, 404), (anonymous, 401)):
        assert (await client.post(f"{path}/tokens", json={"days": 30})).status_code == status
    for days in (-1, 3651, "a week", 1.5):
        refused = await alice.post(f"{path}/tokens", json={"days": days})
        assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body", "days"])
    issued = (await alice.post(f"{path}/tokens", json={"days": 30})).json()
    end = datetime.fromisoformat(issued["expires_at"]).replace(tzinfo=UTC)
    assert timedelta(days=30, minutes=-1) < end - now() <= timedelta(days=30)
    assert (await alice.get(path)).json()["token_expires_at"] == issued["expires_at"]

    anonymous.headers["Authorization"] = f"Bearer {issued['token']}"
    assert (await anonymous.get("/agent/healthz")).status_code == 200
    async with transaction() as session:
        await session.execute(update(AgentToken).values(expires_at=now()))
    refused = await anonymous.get("/agent/healthz")
    assert (refused.status_code, refused.json()["code"]) == (401, "token_expired")
    assert refused.json()["detail"].startswith("This token has expired.")
    again = (await alice.post(f"{path}/tokens")).json()
    assert again["expires_at"][:10] == issued["expires_at"][:10]  # as chosen before
    assert (await alice.post(f"{path}/tokens", json={"days": 0})).json()["expires_at"] is None
    assert (await alice.get(path)).json()["token_expires_at"] is None


async def test_which_callers_create_agents(
    alice: Client, bob: Client, dana: Client, worker: Client, lead: Client, world: World
) -> None:
    """W-12. 6.5 and 7.2."""
    board, garden = str(world.board.id), str(world.garden.id)
    for client in (bob, dana):
        rejected = await client.post("/agents", json={"name": "Ada", "board_id": board})
        assert rejected.status_code == 403
    for client, path in ((worker, "/agents"), (worker, "/agent/agents")):
        assert (await client.post(path, json={"name": "Ada"})).status_code == 403
    assert (await alice.post("/agents", json={"name": "Ada"})).status_code == 422
    full = await lead.post("/agent/agents", json={"name": "Ada"})
    assert full.status_code == 409
    await alice.patch(f"/boards/{board}", json={"max_agents": 3})
    assert (await lead.post("/agents", json={"name": "Ada", "board_id": garden})).status_code == 403
    created = (await lead.post("/agent/agents", json={"name": "Ada", "board_id": garden})).json()
    assert created["board_id"] == board
    taken = await alice.post("/agents", json={"name": "ADA", "board_id": board})
    assert taken.status_code == 409


async def test_agents_list_the_agents_of_their_own_board(
    worker: Client, alice: Client, dana: Client, charlie: Client, world: World
) -> None:
    """6.4 and 7.1."""
    mine = (await worker.get("/agent/agents")).json()["items"]
    assert {agent["name"] for agent in mine} == {"Lead", "Worker", "Other worker"}
    assert (await worker.get(f"/agent/agents?board_id={world.garden.id}")).status_code == 403
    assert (await worker.get(f"/agent/agents?board_id={new_id()}")).status_code == 404
    names = {agent["name"] for agent in (await alice.get("/agents")).json()["items"]}
    assert names == {"Lead", "Worker", "Other worker", "Gardener"}
    gardeners = (await alice.get(f"/agents?board_id={world.garden.id}")).json()["items"]
    assert [agent["name"] for agent in gardeners] == ["Gardener"]
    assert (await dana.get("/agents")).json()["items"] == []
    [own] = (await charlie.get("/agents")).json()["items"]
    assert own["name"] == "Charlie's worker"
    assert (await alice.get(f"/agents?gateway_id={new_id()}")).status_code == 404


async def test_an_agent_is_changed_but_its_status_is_not(
    alice: Client, bob: Client, world: World
) -> None:
    """7.4."""
    at = f"/agents/{world.worker.id}"
    before = (await alice.get(at)).json()
    assert (await alice.patch(at, json={})).json() == before
    profile = {"role": "Writer", "skills": ["prose", "verse"], "empty": ""}
    changed = (await alice.patch(at, json={"name": "Ada", "identity_profile": profile})).json()
    assert changed["name"] == "Ada"
    assert changed["identity_profile"] == {"role": "Writer", "skills": "prose, verse"}
    assert (await alice.patch(at, json={"status": "online"})).status_code == 403
    assert (await alice.patch(at, json={"board_id": None})).status_code == 422
    assert (await alice.patch(at, json={"is_gateway_main": True})).status_code == 422
    assert (await bob.patch(at, json={"name": "Bob's"})).status_code == 403
    moved = (await alice.patch(at, json={"board_id": str(world.garden.id)})).json()
    assert moved["board_id"] == str(world.garden.id)


async def test_only_admins_of_the_boards_organization_create_agents(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    """W-22: Alice owns her own organization, and may only change one board elsewhere."""
    foreign = str(world.charlies_board.id)
    async with transaction() as session:
        plover, user = await session.merge(world.plover), await session.merge(world.alice)
        session.add(make_member(plover, user, all_boards_read=True, all_boards_write=True))
    task = await alice.post(f"/boards/{foreign}/tasks", json={"title": "Write"})
    assert task.status_code == 200
    for path in ("/agents", "/agents/heartbeat"):
        rejected = await alice.post(path, json={"name": "Ada", "board_id": foreign})
        assert (rejected.status_code, rejected.json()["code"]) == (403, "admin_required")


async def test_agents_are_found_by_name_in_the_own_organization(
    alice: Client, charlie: Client, world: World, transaction: TransactionFactory
) -> None:
    """W-49."""
    async with transaction() as session:
        for id in (world.worker.id, world.charlies_worker.id):
            agent = await session.get_one(Agent, id)
            agent.name, agent.last_seen_at = "Twin", None
    for client, agent in ((charlie, world.charlies_worker), (alice, world.worker)):
        loaded = (await client.post("/agents/heartbeat", json={"name": "Twin"})).json()
        assert (loaded["id"], loaded["token"]) == (str(agent.id), None)


async def test_admins_send_heartbeats_only_for_agents_of_writable_boards(
    dana: Client, transaction: TransactionFactory, world: World
) -> None:
    """7.6, by id and by name."""
    async with transaction() as session:
        session.add(make_board_access(world.dana_member, world.board))
    for path in ("/agents/heartbeat", f"/agents/{world.worker.id}/heartbeat"):
        rejected = await dana.post(path, json={"name": "Worker"})
        assert rejected.status_code == 403
    async with transaction() as session:
        worker = await session.get(Agent, world.worker.id)
        assert worker
        assert worker.last_seen_at == world.worker.last_seen_at


async def test_an_agent_is_late_before_it_is_offline(
    alice: Client, worker: Client, world: World, transaction: TransactionFactory
) -> None:
    """An agent with an interval of an hour may be silent for two; after one it is late."""
    path = f"/agents/{world.worker.id}"
    await alice.patch(path, json={"heartbeat_config": {"every": "1h"}})
    for minutes, status, is_late in [(5, "online", False), (70, "online", True)]:
        async with transaction() as session:
            loaded = update(Agent).where(Agent.id == world.worker.id)
            await session.execute(loaded.values(last_seen_at=now() - timedelta(minutes=minutes)))
        found = (await alice.get(path)).json()
        assert (found["status"], found["is_late"]) == (status, is_late)
    async with transaction() as session:
        await session.execute(loaded.values(last_seen_at=now() - timedelta(minutes=121)))
    found = (await alice.get(path)).json()
    assert (found["status"], found["is_late"]) == ("offline", False)


async def test_heartbeats_set_an_agent_online(
    alice: Client, worker: Client, world: World, transaction: TransactionFactory
) -> None:
    """A27.1. 2.5, 6.17, 7.5 and 7.6."""
    async with transaction() as session:
        agent = await session.get_one(Agent, world.worker.id)
        agent.last_seen_at = now() - timedelta(hours=1)
    at = f"/agents/{world.worker.id}"
    assert (await alice.get(at)).json()["status"] == AgentStatus.OFFLINE
    body = {"name": "Somebody else", "board_id": None, "status": "degraded"}
    for content in (None, b"", b"no json at all"):
        assert (await worker.post("/agent/heartbeat", content=content)).status_code == 200
    assert (await worker.post("/agent/heartbeat", json=body)).json()["status"] == "online"
    loaded = await worker.post(f"{at}/heartbeat", json={"status": "degraded"})
    assert loaded.json()["status"] == "degraded"
    other = await worker.post(f"/agents/{world.lead.id}/heartbeat", json={})
    assert other.status_code == 403
    by_name = (await worker.post("/agents/heartbeat", json={"name": "Ignored"})).json()
    assert (by_name["id"], by_name["token"]) == (str(world.worker.id), None)


async def test_an_admin_heartbeat_by_name_creates_missing_agents(
    alice: Client, bob: Client, world: World
) -> None:
    """7.5 and 7.6."""
    assert (await alice.post(f"/agents/{world.worker.id}/heartbeat", json={})).status_code == 200
    assert (await bob.post(f"/agents/{world.worker.id}/heartbeat", json={})).status_code == 403
    known = (await alice.post("/agents/heartbeat", json={"name": "Worker"})).json()
    assert (known["id"], known["token"]) == (str(world.worker.id), None)
    assert (await alice.post("/agents/heartbeat", json={"name": "Ada"})).status_code == 422
    new = {"name": "Ada", "board_id": str(world.board.id)}
    created = (await alice.post("/agents/heartbeat", json=new)).json()
    assert created["token"].startswith("mc_agent_")
    assert created["status"] == "online"
    again = (await alice.post("/agents/heartbeat", json=new)).json()
    assert (again["id"], again["token"]) == (created["id"], None)
    assert (await bob.post("/agents/heartbeat", json=new)).status_code == 403


async def test_a_deleted_agent_returns_its_tasks_to_the_inbox(
    alice: Client, bob: Client, worker: Client, world: World
) -> None:
    """7.7."""
    path = f"/boards/{world.board.id}/tasks"
    task = (await alice.post(path, json={"title": "Write"})).json()
    await worker.patch(f"{path}/{task['id']}", json={"status": "in_progress"})
    at = f"/agents/{world.worker.id}"
    assert (await bob.delete(at)).status_code == 403
    assert (await alice.delete(at)).json() == {"ok": True}
    assert (await alice.delete(at)).json() == {"ok": True}
    assert (await alice.get(at)).status_code == 404
    assert (await worker.get("/agent/healthz")).status_code == 401
    left = (await alice.get(f"{path}/{task['id']}")).json()
    assert (left["status"], left["assigned_agent_id"]) == ("inbox", None)


async def test_events_of_a_deleted_agent_keep_its_name(
    alice: Client, worker: Client, world: World
) -> None:
    path = f"/boards/{world.board.id}/tasks"
    task = (await alice.post(path, json={"title": "Write"})).json()
    await worker.patch(f"{path}/{task['id']}", json={"status": "in_progress"})
    await worker.post(f"{path}/{task['id']}/comments", json={"message": "Half done"})
    assert (await alice.delete(f"/agents/{world.worker.id}")).json() == {"ok": True}
    [said] = (await alice.get(f"{path}/{task['id']}/comments")).json()["items"]
    assert (said["agent_id"], said["author_name"]) == (None, "Worker")


async def test_a_failed_request_counts_as_contact(
    worker: Client, alice: Client, world: World, transaction: TransactionFactory
) -> None:
    """A27.9. 2.4: the original discards the contact of a rejected call."""
    async with transaction() as session:
        agent = await session.get_one(Agent, world.worker.id)
        agent.last_seen_at = None
    await worker.post(f"/boards/{world.board.id}/tasks/{new_id()}/comments", json={})
    assert (await alice.get(f"/agents/{world.worker.id}")).json()["status"] == "online"


async def test_a_failed_agent_shows_the_reason(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    """W-28: the original shows it as still being provisioned."""
    failure = {
        "step": "check_in",
        "code": "no_check_in",
        "reason": "It was woken 3 times and has not called.",
        "command": "openclaw agents list",
        "at": now().isoformat(),
    }
    async with transaction() as session:
        gateway = make_gateway(world.tern)
        session.add(gateway)
        await session.flush()
        agent = await session.get_one(Agent, world.worker.id)
        agent.gateway_id, agent.desired_state = gateway.id, DesiredState.RUNNING
        agent.step, agent.wake_attempts = ProvisioningStep.CHECK_IN, 3
        agent.last_seen_at, agent.provision_failure = None, failure
    loaded = (await alice.get(f"/agents/{world.worker.id}")).json()
    assert (loaded["status"], loaded["wake_attempts"]) == ("offline", 3)
    assert loaded["last_provision_error"] == failure["reason"]
    assert loaded["provisioning"]["state"] == "failed"
    assert loaded["provisioning"]["failure"]["command"] == failure["command"]


async def test_an_agent_of_a_lost_gateway_is_away_and_not_online(
    alice: Client, lead: Client, world: World, transaction: TransactionFactory
) -> None:
    moment = now()
    ok = {"name": "port", "state": "ok", "code": None, "since": str(moment)}
    unresponsive = {"name": "handshake", "state": "failed", "code": "unresponsive"}
    unresponsive["since"] = str(moment - timedelta(seconds=1))
    held: dict[str, Any] = {
        "lease_holder": "worker",
        "lease_expires_at": moment + timedelta(minutes=1),
    }
    gateway = make_gateway(world.tern, checks=[ok], checked_at=moment, **held)
    seen = {"last_seen_at": moment - timedelta(minutes=1), "listed_at": moment, "status": "online"}
    on_gateway = {"desired_state": "running", "observed_generation": 1, "gateway_id": gateway.id}
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        values = update(Agent).where(Agent.id == world.worker.id).values(**seen, **on_gateway)
        await session.execute(values)

    async def read_all() -> list[dict[str, object]]:
        board = world.board.id
        pages = [
            await alice.get("/agents"),
            await alice.get(f"/agents?board_id={board}"),
            await lead.get("/agent/agents"),
        ]
        lists = [page.json()["items"] for page in pages]
        lists.append((await alice.get(f"/boards/{board}/snapshot")).json()["agents"])
        found = [one for agents in lists for one in agents if one["id"] == str(world.worker.id)]
        return [*found, (await alice.get(f"/agents/{world.worker.id}")).json()]

    for read in await read_all():
        assert (read["status"], read["away"], read["away_since"]) == ("online", False, None)
    async with transaction() as session:
        (await session.get_one(type(gateway), gateway.id)).checks = [ok, unresponsive]
    for read in await read_all():
        assert (read["status"], read["away"], read["is_late"]) == ("offline", True, False)
        assert read["away_since"]
    returned = {"name": "Writer", "status": "offline"}  # as it was read
    changed = await alice.patch(f"/agents/{world.worker.id}", json=returned)
    assert (changed.status_code, changed.json()["away"]) == (200, True)
