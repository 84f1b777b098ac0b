"""`./run worker`: does the background jobs in a process of their own."""

import asyncio

from bin.command import ended, main_of, parser, say, settings_for, takes_data
from kit.settings import Settings


def main(arguments: list[str]) -> int:
    options = parser("worker", "Do the background jobs in a process of their own, until Ctrl-C.")
    takes_data(options)
    given = options.parse_args(arguments)
    return ended(lambda: run(settings_for(given)))


def run(settings: Settings) -> int:
    """Work until a signal says to stop."""
    import uvloop

    from bin.running import set_up_log

    set_up_log(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(settings))
    return 0


async def _work(settings: Settings) -> None:
    from bin.database import opened
    from bin.migrate import ready
    from bin.running import keep_working, stop_signals

    stop = stop_signals()
    async with opened(settings, stop) as settings:
        await ready(settings)
        say("Mission Control's worker is ready. Ctrl-C stops it.")
        await keep_working(settings, stop)


if __name__ == "__main__":
    main_of(main)
