"""Start the application for `./run update`, and ask it whether it is ready.

It has a free port of this machine and no worker, so nothing is sent and no one can use it.
"""

import asyncio
import sys

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
from cli.serve import bind_socket, run_uvicorn
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
    responses: list[httpx2.Response] = []
    stop = asyncio.Event()
    async with open_database(settings) as opened_settings:
        await prepare_database(opened_settings)
        address = await adopt_public_address(opened_settings, is_lasting=False)
        with bind_socket(local) as server_socket:
            host, port = server_socket.getsockname()[:2]

            async def ask() -> None:
                async with httpx2.AsyncClient(timeout=REQUEST_TIMEOUT, trust_env=False) as client:
                    try:
                        responses.append(await client.get(f"http://{host}:{port}/readyz"))
                    finally:
                        stop.set()

            questions: list[asyncio.Task[None]] = []

            async def ask_beside() -> None:
                questions.append(asyncio.create_task(ask()))

            await run_uvicorn(build_app(address), server_socket, stop, ask_beside)
            await asyncio.gather(*questions)
    if not responses or responses[0].status_code != 200:
        shown = responses[0].text if responses else "no answer"
        raise CommandError(f"It starts, but is not ready: {shown}")
    sys.stdout.flush()


if __name__ == "__main__":
    run_as_script(main)
