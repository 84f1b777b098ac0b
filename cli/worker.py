"""`./run worker`: run the worker in a separate process."""

import asyncio
from functools import partial

from cli.command import (
    add_data_option,
    create_parser,
    load_settings,
    print_line,
    run_as_script,
    run_command,
)
from cli.database import open_database
from cli.migrate import prepare_database
from cli.process import (
    adopt_public_address,
    configure_log,
    create_stop_event,
    load_worker_modules,
    run_worker,
)
from core.config.settings import Settings
from core.event_loop import create_event_loop
from core.metrics import MetricsFolder
from core.traces import start_tracing


def main(arguments: list[str]) -> int:
    parser = create_parser(
        "worker", "Do the background jobs in a process of their own, until Ctrl-C."
    )
    add_data_option(parser)
    options = parser.parse_args(arguments)
    return run_command(lambda: run_process(load_settings(options)))


def run_process(settings: Settings) -> int:
    """Run the worker until a stop signal arrives."""
    configure_log(settings)
    start_tracing()
    with asyncio.Runner(loop_factory=partial(create_event_loop, settings.data_dir)) as runner:
        runner.run(_run_until_stopped(settings))
    return 0


async def _run_until_stopped(settings: Settings) -> None:
    stop = create_stop_event()
    await asyncio.to_thread(load_worker_modules)
    async with open_database(settings, stop) as settings:
        await prepare_database(settings)
        settings = await adopt_public_address(settings, is_lasting=settings.is_base_url_set)
        print_line("Mission Control's worker is ready. Ctrl-C stops it.")
        async with MetricsFolder(settings.data_dir).share():
            await run_worker(settings, stop)


if __name__ == "__main__":
    run_as_script(main)
