"""`./run`: starts Mission Control: database, server and worker, in one process."""

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any

from bin.command import (
    CannotGoOn,
    ended,
    main_of,
    parser,
    say,
    settings_for,
    takes_address,
    takes_data,
)
from kit.settings import Settings

LAST_ANSWERS = 2  # seconds that an answer may take after the signal to stop
KEEP_ALIVE = 30  # seconds that a connection may stay open with nothing to do


def main(arguments: list[str]) -> int:
    options = parser("[serve]", "Start Mission Control. Ctrl-C stops it.")
    takes_address(options)
    takes_data(options)
    given = options.parse_args(arguments)
    return ended(lambda: run(settings_for(given)))


Beside = Callable[[Settings], AbstractAsyncContextManager[object]]


def run(settings: Settings, *, beside: Beside = nullcontext) -> int:
    """Serve until a signal says to stop, with what is to go on beside it meanwhile."""
    import uvloop

    from bin.running import set_up_log

    with listening_at(settings) as door:
        settings = settings.bound_to(door.getsockname()[1])
        set_up_log(settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, door, beside))
    return 0


def listening_at(settings: Settings) -> socket.socket:
    """Take the port. Callers wait there until everything else is ready."""
    host, port = settings.host, settings.port
    try:
        kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        both = kind == socket.AF_INET6 and socket.has_dualstack_ipv6()
        return socket.create_server(address[:2], family=kind, backlog=2048, dualstack_ipv6=both)
    except OSError as error:
        reason = f"{host} is no address of this machine: set HOST to one that is."
        if error.errno == errno.EADDRINUSE:
            reason = f"Port {port} is taken: choose another with --port, or stop who has it."
        elif error.errno == errno.EACCES:
            reason = f"Port {port} needs more rights than we have: choose one from 1024 on."
        raise CannotGoOn(reason) from error


async def serve(settings: Settings, door: socket.socket, beside: Beside) -> None:
    """Have the database ready, then answer and work until a signal says to stop."""
    from bin.database import opened
    from bin.migrate import ready
    from bin.running import keep_working, stop_signals

    stop = stop_signals()
    loading = asyncio.create_task(asyncio.to_thread(import_module, "app"))
    async with opened(settings, stop) as settings:
        await ready(settings)
        app = (await loading).build(settings)
        working = asyncio.create_task(keep_working(settings, stop))
        try:
            async with beside(settings):
                await answer(app, door, stop, partial(announce, settings))
        finally:
            stop.set()
            await working


async def answer(
    app: Any, door: socket.socket, stop: asyncio.Event, announce: Callable[[], Awaitable[None]]
) -> None:
    """Answer requests until `stop` is set."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield  # they are ours: more than the server has to stop

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            await announce()

    server = Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=LAST_ANSWERS,
        )
    )
    ending = asyncio.create_task(_end(server, stop))
    await server.serve(sockets=[door])
    ending.cancel()


async def _end(server: Any, stop: asyncio.Event) -> None:
    await stop.wait()
    logging.getLogger("uvicorn.error").addFilter(_is_worth_telling)
    server.handle_exit(0, None)  # open streams hear of it as well


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Streams that are cut short are no error while everything ends."""
    return "without completing response" not in record.getMessage()


async def announce(settings: Settings) -> None:
    """Tell the person where to click."""
    from bin.link import first_run_link

    say(f"Mission Control is at {settings.base_url}")
    if link := await first_run_link(settings):
        say(f"Open this link once to become its owner: {link}")
    say("Ready. Ctrl-C stops everything.")


if __name__ == "__main__":
    main_of(main)
