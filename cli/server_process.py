"""Run the server and the worker in a process, and with `run_server` the database too."""

import asyncio
import errno
import gc
import logging
import resource
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any

from cli.command import CommandError, print_line
from cli.database import open_database
from cli.process import (
    adopt_public_address,
    configure_log,
    create_stop_event,
    load_worker_modules,
    run_worker,
)
from cli.server_address import publish_address
from core.config.settings import Settings

MAX_OPEN_FILES = 65_536
RESPONSE_TIME = 2  # seconds that a response may take after the stop signal


CompanionFactory = Callable[[Settings], AbstractAsyncContextManager[object]]


def run_server(settings: Settings, *, companion: CompanionFactory = nullcontext) -> int:
    """Serve until a stop signal arrives; the companion context is open meanwhile."""
    gc.disable()  # until everything is loaded: there is no garbage yet
    from core.event_loop import create_event_loop
    from core.traces import start_tracing

    raise_file_limit()
    with bind_socket(settings) as server_socket:
        is_lasting = settings.is_base_url_set or settings.port != 0  # 0: another one next time
        settings = settings.with_bound_port(server_socket.getsockname()[1])
        configure_log(settings)
        start_tracing()
        with asyncio.Runner(loop_factory=partial(create_event_loop, settings.data_dir)) as runner:
            runner.run(serve_app(settings, server_socket, companion, is_lasting=is_lasting))
    return 0


def raise_file_limit() -> None:
    """Allow as many open files as the system permits: each stream of a page is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def bind_socket(settings: Settings) -> socket.socket:
    """Bind the port. Connections wait in the backlog until the server accepts them."""
    host, port = settings.host, settings.port
    try:
        kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        is_dual_stack = kind == socket.AF_INET6 and socket.has_dualstack_ipv6()
        return socket.create_server(
            address[:2], family=kind, backlog=2048, dualstack_ipv6=is_dual_stack
        )
    except OSError as error:
        reason = f"{host} is not an address of this machine: set HOST to one that is."
        if error.errno == errno.EADDRINUSE:
            reason = f"Port {port} is in use: choose another with --port, or stop its program."
        elif error.errno == errno.EACCES:
            reason = f"Port {port} needs more rights than we have: choose one from 1024 on."
        raise CommandError(reason) from error


async def serve_app(
    settings: Settings,
    server_socket: socket.socket,
    companion: CompanionFactory,
    *,
    is_lasting: bool,
) -> None:
    """Start the database, then serve requests and run the worker until a stop signal.

    `is_lasting`: the server has the same address at its next start.
    """
    stop = create_stop_event()
    import_task = asyncio.create_task(asyncio.to_thread(_load_product_modules))
    async with open_database(settings, stop) as settings:
        await import_task
        from app import build_app
        from cli.migrate import prepare_database

        await prepare_database(settings)
        own_settings = settings
        settings = await adopt_public_address(settings, is_lasting=is_lasting)
        app = build_app(settings)
        on_started = partial(print_addresses, own_settings)
        with publish_address(own_settings):
            async with companion(settings):
                await serve_and_work(app, settings, server_socket, stop, on_started)


def _load_product_modules() -> None:
    """Import what takes long, while the database starts: it would hold the event loop."""
    for name in ("app", "cli.link", "cli.migrate", "core.garbage", "core.http.server_protocol"):
        import_module(name)
    load_worker_modules()


async def serve_and_work(
    app: Any,
    settings: Settings,
    server_socket: socket.socket,
    stop: asyncio.Event,
    on_started: Callable[[], Awaitable[None]],
) -> None:
    """Serve requests and run the worker until `stop` is set."""
    worker_task = asyncio.create_task(run_worker(settings, stop))
    try:
        await run_uvicorn(app, server_socket, stop, on_started)
    finally:
        stop.set()
        await worker_task


async def run_uvicorn(
    app: Any,
    server_socket: socket.socket,
    stop: asyncio.Event,
    on_started: Callable[[], Awaitable[None]],
) -> None:
    """Serve requests until `stop` is set."""
    import uvicorn

    from core.db.engine import has_open_transaction
    from core.garbage import FullCollections
    from core.http.server_protocol import LimitedHttpProtocol

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield  # create_stop_event handles signals, since the worker must stop as well

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            # Modules, classes and templates live as long as the process. A full collection that
            # visits them takes a tenth of a second, in which no request is handled.
            gc.collect()
            gc.freeze()
            gc.enable()
            FullCollections(has_open_transaction).start()
            await on_started()

    server = Server(
        uvicorn.Config(
            app,
            http=LimitedHttpProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,  # seconds
            timeout_graceful_shutdown=RESPONSE_TIME,
        )
    )
    shutdown_task = asyncio.create_task(_shut_down(server, stop))
    await server.serve(sockets=[server_socket])
    shutdown_task.cancel()


async def _shut_down(server: Any, stop: asyncio.Event) -> None:
    from core.http.event_stream import end_event_streams
    from core.http.long_wait import end_waits

    await stop.wait()
    logging.getLogger("uvicorn.error").addFilter(_is_no_effect_of_a_stop)
    server.handle_exit(0, None)
    end_event_streams()
    end_waits()


def _is_no_effect_of_a_stop(record: logging.LogRecord) -> bool:
    """Leave out streams that end with the server, and requests that it cancels.

    uvicorn logs a traceback for each of these requests, and their number in one line.
    """
    error = record.exc_info[1] if record.exc_info else None
    is_stream = "without completing response" in record.getMessage()
    return not is_stream and not isinstance(error, asyncio.CancelledError)


async def print_addresses(settings: Settings) -> None:
    """Print the address of the server, and a first-run link if there is no owner."""
    from cli.link import create_first_run_url

    print_line(f"Mission Control is at {settings.base_url}")
    if link := await create_first_run_url(settings):
        print_line(f"Open this link once to become its owner: {link}")
    print_line("Ready. Ctrl-C stops everything.")
