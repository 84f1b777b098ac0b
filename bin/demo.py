"""`./run demo`: an organization with believable boards, and three scripted agents at work on it."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from bin.command import ended, main_of, parser, say, settings_for, takes_address, takes_data
from bin.demo_agents import LeadScript, LoneWorkerScript, Script, WorkerScript
from bin.demo_story import DESKS, ORGANIZATION
from kit.settings import Settings

if TYPE_CHECKING:
    from services.demo import Player

ABOUT = """\
Start Mission Control with a demo: invented boards, and three scripted agents that work on them
through the real HTTP API. Everything in it is demo data; --clean removes it."""


def main(arguments: list[str]) -> int:
    options = parser("demo", ABOUT)
    takes_address(options)
    takes_data(options)
    options.add_argument("--clean", action="store_true", help="remove the demo, and start nothing")
    given = options.parse_args(arguments)
    settings = settings_for(given)
    if given.clean:
        return ended(lambda: asyncio.run(clean(settings)) or 0)
    say(f"This is a demo: the organization “{ORGANIZATION}” and all in it are invented.")
    say("`./run demo --clean` removes it. What you make in other organizations stays.")
    from bin import serve

    return ended(lambda: serve.run(_quiet(settings), beside=played))


def _quiet(settings: Settings) -> Settings:
    """Leave out the agents' many requests, so that the link stays in sight, unless told else."""
    if "log_level" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"log_level": "WARNING"})


async def clean(settings: Settings) -> None:
    """Remove the demo."""
    from bin.database import opened
    from bin.migrate import ready
    from services import demo

    async with opened(settings) as settings:
        await ready(settings)
        async with _transactions(settings) as transaction, transaction() as session:
            removed = await demo.remove(session)
    say("The demo is gone." if removed else "There is no demo here.")


@asynccontextmanager
async def played(settings: Settings) -> AsyncGenerator[None, None]:
    """Have the demo go on while the block runs."""
    playing = asyncio.create_task(_play(settings))
    try:
        yield
    finally:
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await playing


async def _play(settings: Settings) -> None:
    from bin.demo_fill import fill
    from services import demo

    async with _transactions(settings) as transaction:
        async with transaction() as session:
            member = await demo.guide(session) or await fill(session)
            names = [worker.name for desk in DESKS for worker in desk.workers if worker.plays]
            cast = await demo.players(session, member, names)
            await demo.invite_everybody(session)
        async with asyncio.TaskGroup() as group:
            for player in cast:
                group.create_task(_script(settings, player).run())


def _script(settings: Settings, player: "Player") -> Script:
    desk, worker = next(
        (desk, worker) for desk in DESKS for worker in desk.workers if worker.name == player.name
    )
    has_lead = any(one.is_lead for one in desk.workers)
    kind = LeadScript if worker.is_lead else WorkerScript if has_lead else LoneWorkerScript
    return kind(_loopback(settings), player.token, str(player.board_id), desk)


def _loopback(settings: Settings) -> str:
    """Return where this server is reached from this machine."""
    host = settings.host
    with suppress(OSError):
        if socket.getaddrinfo(host, None)[0][4][0] in ("0.0.0.0", "::"):  # noqa: S104
            host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


@asynccontextmanager
async def _transactions(settings: Settings) -> AsyncGenerator[Any, None]:
    from sqlalchemy.ext.asyncio import async_sessionmaker

    from kit.database import open_pool

    engine = open_pool(settings, size=2)
    try:
        yield async_sessionmaker(engine, expire_on_commit=False).begin
    finally:
        await engine.dispose()


if __name__ == "__main__":
    main_of(main)
