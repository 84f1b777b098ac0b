"""`./run stop-agents` and `./run resume-agents`: the stop of all agents, without signing in."""

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncSession

from cli.command import (
    CommandError,
    add_data_option,
    create_parser,
    load_settings,
    print_line,
    run_as_script,
    run_command,
)
from core.config.paths import COMMAND
from core.config.settings import Settings

StopCommand = Callable[[AsyncSession], Awaitable[list[str]]]
"""A change of organizations that returns their names."""


def main(arguments: list[str]) -> int:
    description = (
        "Stop all agents: no message is sent to them, their running turns are aborted, and they"
        f" take and move no tasks, until {COMMAND} resume-agents."
    )
    parser = create_parser("stop-agents", description)
    _add_organization_option(parser.add_argument)
    parser.add_argument("--reason", help="why, for the people who see it")
    add_data_option(parser)
    options = parser.parse_args(arguments)

    async def stop(session: AsyncSession) -> list[str]:
        from services import organizations

        fields = organizations.AgentStopCreate.parse({"reason": options.reason})
        return await organizations.stop_all_agents(session, fields, name=options.organization)

    words = "All agents are stopped: "
    return run_command(lambda: asyncio.run(_change(load_settings(options), stop, words)))


def resume(arguments: list[str]) -> int:
    """Run `./run resume-agents`."""
    parser = create_parser("resume-agents", "Resume all agents that were stopped.")
    _add_organization_option(parser.add_argument)
    add_data_option(parser)
    options = parser.parse_args(arguments)

    async def resume_all(session: AsyncSession) -> list[str]:
        from services import organizations

        return await organizations.resume_all_agents(session, name=options.organization)

    words = "Agents are resumed: "
    return run_command(lambda: asyncio.run(_change(load_settings(options), resume_all, words)))


def _add_organization_option(add_argument: Callable[..., object]) -> None:
    add_argument("--organization", metavar="NAME", help="only of this one (else of all)")


async def _change(settings: Settings, change: StopCommand, words: str) -> int:
    from cli.database import open_existing_database, open_transaction
    from cli.migrate import ensure_migrated
    from core.errors import AppError

    async with open_existing_database(settings) as settings:
        await ensure_migrated(settings)
        try:
            async with open_transaction(settings) as session:
                names = await change(session)
        except AppError as error:
            raise CommandError(error.message) from None
    print_line(words + ", ".join(names) if names else "No agents were stopped.")
    return 0


if __name__ == "__main__":
    run_as_script(main)
