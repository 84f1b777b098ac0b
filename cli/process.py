"""Shared code of the long-running commands: logging, signals and the worker."""

import asyncio
import logging
import signal
from contextlib import suppress
from importlib import import_module

from cli.command import CommandError, print_line, repeat_data_option
from core.config.paths import COMMAND
from core.config.settings import Settings

RESTART_DELAY = 5.0  # seconds before a failed worker starts again
SHUTDOWN_TIMEOUT = 2.0  # seconds that a job may continue after the stop signal

log = logging.getLogger("mission_control")


def configure_log(settings: Settings) -> None:
    """Configure logging according to the settings."""
    from core.http.request_log import configure_logging

    configure_logging(level=settings.log_level, style=settings.log_format, utc=settings.log_use_utc)
    for name in ("alembic", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)


async def adopt_public_address(settings: Settings, *, is_lasting: bool) -> Settings:
    """Return the settings with the stored address of the installation.

    The first process stores its own, if that is lasting. Raises CommandError if BASE_URL is set to
    another one.
    """
    from cli.database import open_transaction
    from services.gateways import files

    own = settings.base_url
    async with open_transaction(settings) as session:
        if is_lasting:
            stored = await files.store_first_address(session, own)
        else:
            stored = await files.find_public_address(session) or own
    if stored == own:
        return settings
    if settings.is_base_url_set:
        raise CommandError(
            f"BASE_URL is {own}, but people and agents of this database use {stored}: set BASE_URL"
            f" to {stored}, or change the address with {COMMAND} address"
            f" {own}{repeat_data_option(settings)}"
        )
    print_line(f"People and agents use the stored address {stored}: see {COMMAND} address")
    return settings.model_copy(update={"base_url": stored})


def create_stop_event() -> asyncio.Event:
    """Return an event that is set by SIGINT (Ctrl-C), SIGTERM or SIGHUP.

    SIGHUP stays ignored if it was at the start: `nohup` does that, so that we outlive the terminal.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue
        loop.add_signal_handler(number, stop.set)
    return stop


def load_worker_modules() -> None:
    """Import what `run_worker` needs: in the event loop, that would hold it."""
    for name in ("web.notifications.messages", "worker.main"):
        import_module(name)


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Run the worker until `stop` is set; restart it after a failure.

    It ends last, so it sends the rest of the traces.
    """
    from core.traces import stop_tracing

    worker_task = asyncio.create_task(_run_with_restarts(settings, stop))
    stop_task = asyncio.create_task(stop.wait())
    await asyncio.wait({worker_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
    with suppress(TimeoutError):
        await asyncio.wait_for(worker_task, SHUTDOWN_TIMEOUT)
    await asyncio.to_thread(stop_tracing)


async def _run_with_restarts(settings: Settings, stop: asyncio.Event) -> None:
    import worker.main
    from web.notifications.messages import MessageRenderer

    render = MessageRenderer(settings.base_url).render
    while not stop.is_set():
        try:
            await worker.main.run(settings, stop, render=render)
        except Exception:
            log.exception("The worker has failed. It starts again in %s s.", RESTART_DELAY)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), RESTART_DELAY)
