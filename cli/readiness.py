"""Start the application for `./run update`, and ask it whether it is ready.

It has a free port of this machine and no worker, so nothing is sent and no one can use it.
"""

import asyncio

import httpx2

from app import build_app
from cli.command import (
    CommandError,
    add_data_option,
    create_parser,
    load_settings,
    run_as_script,
    run_command,
)
from cli.database import open_database
from cli.migrate import prepare_database
from cli.process import adopt_public_address, configure_log
from cli.server_process import bind_socket, run_uvicorn
from core.config.settings import Settings

REQUEST_TIMEOUT = 20.0  # seconds


def main(arguments: list[str]) -> int:
    parser = create_parser("readiness", "Start without a worker, and check that it is ready.")
    add_data_option(parser)
    options = parser.parse_args(arguments)
    return run_command(lambda: asyncio.run(check_readiness(load_settings(options))) or 0)


async def check_readiness(settings: Settings) -> None:
    """Raise CommandError unless the application answers that it is ready."""
    configure_log(settings.model_copy(update={"log_level": "ERROR"}))
    local = settings.model_copy(update={"host": "127.0.0.1", "port": 0})
    stop = asyncio.Event()
    questions: list[asyncio.Task[str]] = []
    async with open_database(settings) as opened_settings:
        await prepare_database(opened_settings)
        address = await adopt_public_address(opened_settings, is_lasting=False)
        with bind_socket(local) as server_socket:
            port = server_socket.getsockname()[1]

            async def ask() -> None:
                questions.append(asyncio.create_task(_find_problem(port, stop)))

            await run_uvicorn(build_app(address), server_socket, stop, on_started=ask)
        for problem in await asyncio.gather(*questions):
            if problem:
                raise CommandError(f"It starts, but is not ready: {problem}")


async def _find_problem(port: int, stop: asyncio.Event) -> str:
    """Return why the application is not ready, or an empty text; then stop it."""
    try:
        async with httpx2.AsyncClient(timeout=REQUEST_TIMEOUT, trust_env=False) as client:
            response = await client.get(f"http://127.0.0.1:{port}/readyz")
    except httpx2.HTTPError as error:
        return str(error) or type(error).__name__
    finally:
        stop.set()
    return "" if response.status_code == 200 else response.text


if __name__ == "__main__":
    run_as_script(main)
