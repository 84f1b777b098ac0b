"""`./run demo`: run an organization with invented boards and scripted agents."""

import asyncio
import socket
from argparse import ArgumentTypeError
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx2

from cli.command import (
    add_address_options,
    add_data_option,
    create_parser,
    load_settings,
    print_line,
    run_as_script,
    run_command,
)
from cli.demo_agents import AgentScript, LeadScript, SoloWorkerScript, WorkerScript
from cli.demo_content import DEMO_BOARDS, ORGANIZATION
from core.cancellation import cancel_task
from core.config.paths import COMMAND
from core.config.settings import Settings

if TYPE_CHECKING:
    from cli.demo_data import ScriptedAgent

ABOUT = """\
Start Mission Control with a demo: invented boards, and scripted agents that work on them for an
hour through the real HTTP API. Everything in it is demo data; --clean removes it."""


def main(arguments: list[str]) -> int:
    parser = create_parser("demo", ABOUT)
    add_address_options(parser)
    add_data_option(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the pauses of the agents")
    parser.add_argument(
        "--speed", type=parse_speed, default=1.0, help="how much faster than usual the agents work"
    )
    parser.add_argument("--clean", action="store_true", help="remove the demo, and start nothing")
    options = parser.parse_args(arguments)
    settings = load_settings(options)
    if options.clean:
        return run_command(lambda: asyncio.run(clean_demo(settings)) or 0)
    print_line(f"This is a demo: the organization “{ORGANIZATION}” and all in it are invented.")
    print_line(f"`{COMMAND} demo --clean` removes it. What you make in other organizations stays.")
    from cli.server_process import run_server

    companion = partial(run_demo, seed=options.seed, speed=options.speed)
    if "log_level" not in settings.model_fields_set:  # the link stays visible among few lines
        settings = settings.model_copy(update={"log_level": "WARNING"})
    return run_command(lambda: run_server(settings, companion=companion))


def parse_speed(text: str) -> float:
    """Return a factor from 0.1 to 100. Raises ArgumentTypeError."""
    with suppress(ValueError):
        if 0.1 <= (speed := float(text)) <= 100:
            return speed
    raise ArgumentTypeError(f"{text} is not a number from 0.1 to 100")


async def clean_demo(settings: Settings) -> None:
    """Remove the demo and print whether there was one."""
    from cli import demo_data
    from cli.database import open_database
    from cli.migrate import prepare_database

    async with open_database(settings) as settings:
        await prepare_database(settings)
        async with _open_engine(settings) as transaction, transaction() as session:
            removed = await demo_data.remove_demo(session)
    print_line("The demo was removed." if removed else "There is no demo to remove.")


@asynccontextmanager
async def run_demo(
    settings: Settings, *, seed: int = 0, speed: float = 1.0
) -> AsyncGenerator[None, None]:
    """Create the demo if necessary, and run its agents during the block."""
    agents_task = asyncio.create_task(_run_agents(settings, seed, speed))
    try:
        yield
    finally:
        await cancel_task(agents_task)


async def _run_agents(settings: Settings, seed: int, speed: float) -> None:
    from cli import demo_data
    from services import organizations

    async with _open_engine(settings) as transaction:
        async with transaction() as session:
            member = await demo_data.find_guide(session)
            member = member or await demo_data.create_demo(session, settings.base_url)
            agents = [agent for board in DEMO_BOARDS for agent in board.agents]
            names = [agent.name for agent in agents if agent.is_scripted]
            scripted_agents = await demo_data.issue_demo_tokens(session, member, names)
            await organizations.add_users_to_demo_organization(session)
        async with asyncio.TaskGroup() as group:
            for agent in scripted_agents:
                client = httpx2.AsyncClient(
                    base_url=f"{_loopback_url(settings)}/api/v1",
                    headers={"Authorization": f"Bearer {agent.token}"},
                    timeout=20,
                )
                group.create_task(create_script(client, agent, seed).run(speed))


def create_script(client: httpx2.AsyncClient, agent: "ScriptedAgent", seed: int = 0) -> AgentScript:
    """Return the script of an agent of the demo."""
    board, demo_agent = next(
        (board, demo_agent)
        for board in DEMO_BOARDS
        for demo_agent in board.agents
        if demo_agent.name == agent.name
    )
    has_lead = any(one.is_lead for one in board.agents)
    worker_class = WorkerScript if has_lead else SoloWorkerScript
    script_class = LeadScript if demo_agent.is_lead else worker_class
    return script_class(client, str(agent.board_id), board, demo_agent, seed=seed)


def _loopback_url(settings: Settings) -> str:
    """Return the URL of this server for callers on this machine."""
    host = settings.host
    with suppress(OSError):
        if socket.getaddrinfo(host, None)[0][4][0] in ("0.0.0.0", "::"):  # noqa: S104
            host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


@asynccontextmanager
async def _open_engine(settings: Settings) -> AsyncGenerator[Any, None]:
    from sqlalchemy.ext.asyncio import async_sessionmaker

    import services.subscriptions  # noqa: F401 - sets the handlers of hooks
    from core.db.engine import create_database_engine

    engine = create_database_engine(settings, size=2)
    try:
        yield async_sessionmaker(engine, expire_on_commit=False).begin
    finally:
        await engine.dispose()


if __name__ == "__main__":
    run_as_script(main)
