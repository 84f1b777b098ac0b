"""Pages say what they change in the configurations of gateways, and what was changed."""

import httpx2

from core.db.engine import TransactionFactory
from models import Agent, Board, DesiredState, Gateway
from tests.support.world import World


async def test_each_form_says_what_it_removes_from_and_adds_to_a_configuration(
    alice: httpx2.AsyncClient,
    gateway: Gateway,
    world: World,
    board_path: str,
    transaction: TransactionFactory,
) -> None:
    async with transaction() as session:
        (await session.get_one(Agent, world.worker.id)).desired_state = DesiredState.RUNNING
    deletion = "Its gateway removes the entries of these agents from its configuration"
    assert deletion not in (await alice.get(f"{board_path}/settings")).text  # it has none
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).gateway_id = gateway.id
    for path, sentences in {
        f"{board_path}/settings": (
            deletion,
            "the gateway before removes their entries from its configuration, with their",
        ),
        f"/agents/{world.worker.id}/settings": (
            "Its gateway removes its entry from the configuration, with its workspace.",
        ),
        "/gateways/new": ("an entry in its configuration with a name, a heartbeat and a",),
        f"/gateways/{gateway.id}": ("is removed from its configuration, with its workspace.",),
        f"/gateways/{gateway.id}/edit": ("is renamed too, in its configuration, if it has the",),
    }.items():
        page = (await alice.get(path)).text
        for sentence in sentences:
            assert sentence in page, path
