"""What long-running commands share: their log, their signals, and the background jobs."""

import asyncio
import logging
import signal
from contextlib import suppress

from kit.settings import Settings

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REST = 5.0  # seconds before a worker that has failed starts again
LAST_WORK = 2.0  # seconds that a job may go on after the signal to stop

log = logging.getLogger("mission_control")


def set_up_log(settings: Settings) -> None:
    """Send the logs where and how the settings say."""
    from kit.log import set_up

    set_up(level=settings.log_level, style=settings.log_format, utc=settings.log_use_utc)
    for wordy in ("alembic", "uvicorn.error"):
        logging.getLogger(wordy).setLevel(logging.WARNING)


def stop_signals() -> asyncio.Event:
    """Return an event that Ctrl-C, SIGTERM or the end of the terminal sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # started with nohup: it is to outlive the terminal
        loop.add_signal_handler(number, stop.set)
    return stop


async def keep_working(settings: Settings, stop: asyncio.Event) -> None:
    """Do background jobs until `stop` is set, and begin again if that fails."""
    working = asyncio.create_task(_work(settings, stop))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    with suppress(TimeoutError):
        await asyncio.wait_for(working, LAST_WORK)


async def _work(settings: Settings, stop: asyncio.Event) -> None:
    import worker

    while not stop.is_set():
        try:
            await worker.run(settings, stop)
        except Exception:
            log.exception("The worker has failed. It starts again in %s s.", REST)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), REST)
