"""`./run --workers N`: one port, N processes that serve requests, and a supervisor.

The supervisor has the port and the database, and forks the processes after it has imported the
application, so that they share its memory. A fork copies only the thread that calls it. So the
supervisor has no threads, and no event loop except for short commands before and between forks.
docs/decisions/processes.md gives the reasons.
"""

import asyncio
import gc
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

from cli.command import CommandError, run_command
from cli.database import create_embedded_postgres
from cli.database_check import check_connections
from cli.migrate import prepare_database
from cli.process import adopt_public_address, configure_log, create_stop_event
from cli.server_address import publish_address
from cli.server_process import bind_socket, print_addresses, raise_file_limit, serve_and_work
from core.config.settings import Settings
from core.event_loop import create_event_loop
from core.traces import start_tracing
from embedded_postgres.instance import EmbeddedPostgres

CHECK_INTERVAL = 1.0  # seconds between two signs of life of a process, and between two checks
MAX_MISSED_CHECKS = 8  # in a row without a sign of life, after which a process is killed
STOP_TIMEOUT = 2.5  # seconds after the stop signal until a process is killed
MIN_LIFETIME = 10.0  # seconds; a process that ended sooner is restarted after a delay
MAX_RESTART_DELAY = 10.0  # seconds
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

ALIVE, READY = b".", b"r"  # what a process sends to the supervisor

log = logging.getLogger("mission_control.supervisor")


def run_processes(settings: Settings) -> int:
    """Serve with several processes until a stop signal arrives."""
    gc.disable()  # a collection in this process would copy memory that the others share
    raise_file_limit()
    _interrupt_on_stop_signals()
    with bind_socket(settings) as server_socket:
        is_lasting = settings.is_base_url_set or settings.port != 0
        settings = settings.with_bound_port(server_socket.getsockname()[1])
        configure_log(settings)
        with _open_database(settings) as (settings, postgres):
            asyncio.run(prepare_database(settings))
            own_settings = settings
            settings = asyncio.run(adopt_public_address(settings, is_lasting=is_lasting))
            build_app = _preload_app()
            supervisor = Supervisor(
                settings.workers,
                run_process=lambda channel: _run_process(
                    settings, server_socket, channel, build_app
                ),
                on_ready=lambda: asyncio.run(print_addresses(own_settings)),
                postgres=postgres,
            )
            with publish_address(own_settings):
                return supervisor.run()


def _interrupt_on_stop_signals() -> None:
    """Raise KeyboardInterrupt for a stop signal before there are processes, as Ctrl-C does."""
    for number in STOP_SIGNALS:
        if not (number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN):
            signal.signal(number, signal.default_int_handler)


@contextmanager
def _open_database(settings: Settings) -> Generator[tuple[Settings, EmbeddedPostgres | None]]:
    """Yield settings with the address of the database, and the embedded one if it is that."""
    if settings.database_url:
        asyncio.run(check_connections(settings))
        yield settings, None
        return
    connections = settings.workers * (2 * settings.db_pool_size + 17) + 20
    options = {"max_connections": str(max(100, connections)), **settings.mc_pg_options}
    postgres = create_embedded_postgres(settings.model_copy(update={"mc_pg_options": options}))
    try:
        yield settings.with_database(postgres.start()), postgres
    finally:
        postgres.stop()


def _preload_app() -> Callable[[Settings], object]:
    """Load all that the processes share."""
    import app

    app.compile_in_advance(threading.Event())
    gc.freeze()
    return app.build_app


def _run_process(
    settings: Settings,
    server_socket: socket.socket,
    channel: socket.socket,
    build_app: Callable[[Settings], object],
) -> int:
    """Serve requests and run a worker, in a forked process, until a stop signal arrives."""

    async def serve() -> None:
        async def report_ready() -> None:
            channel.send(READY)

        stop = create_stop_event()
        living = asyncio.create_task(_report_life(channel, stop))
        app = build_app(settings)
        await serve_and_work(app, settings, server_socket, stop, report_ready)
        living.cancel()

    start_tracing()  # it has a thread, so the supervisor does not
    with asyncio.Runner(loop_factory=partial(create_event_loop, settings.data_dir)) as runner:
        runner.run(serve())
    return 0


async def _report_life(channel: socket.socket, stop: asyncio.Event) -> None:
    """Show the supervisor that the event loop runs; set `stop` when the supervisor has ended."""
    loop = asyncio.get_running_loop()

    def end() -> None:  # the supervisor sends nothing, so this is the end of the connection
        loop.remove_reader(channel)
        stop.set()

    channel.setblocking(False)
    loop.add_reader(channel, end)
    while True:
        with suppress(OSError):
            channel.send(ALIVE)
        await asyncio.sleep(CHECK_INTERVAL)


@dataclass
class ServerProcess:
    """A process that serves requests, as the supervisor sees it."""

    pid: int
    channel: socket.socket  # on which it shows that it lives
    started_at: float = field(default_factory=time.monotonic)
    is_ready: bool = False
    missed_checks: int = 0  # in a row


class Supervisor:
    """Keeps a number of processes running until a stop signal arrives.

    `run_process` is called in each, with a socket to the supervisor, and returns the exit status.
    `on_ready` is called when all are ready. An embedded database is kept running as well.
    """

    def __init__(
        self,
        count: int,
        *,
        run_process: Callable[[socket.socket], int],
        on_ready: Callable[[], None],
        postgres: EmbeddedPostgres | None = None,
    ) -> None:
        self._count = count
        self._run_process, self._on_ready, self._postgres = run_process, on_ready, postgres
        self._processes: list[ServerProcess] = []
        self._start_times: list[float] = []  # of the processes that are missing
        self._short_lives = 0  # of processes, in a row
        self._is_stopping = self._is_started = False
        self._checked_at = time.monotonic()
        self._woken, self._wake = socket.socketpair()  # by signals

    def run(self) -> int:
        """Run until a stop signal. Raises CommandError if a process cannot start."""
        self._handle_signals()
        try:
            self._start()
            while not self._is_stopping:
                self._wait()
                self._start_missing()
        finally:
            self._stop_all()
        return 0

    def _handle_signals(self) -> None:
        for channel in (self._woken, self._wake):
            channel.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._request_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to be woken

    def _request_stop(self, *_: object) -> None:
        self._is_stopping = True
        if self._postgres is not None:
            self._postgres.cancel_start()

    def _start(self) -> None:
        """Start one process, and when it is ready the others: all would fail for one reason."""
        for count in (1, self._count):
            while len(self._processes) < count:
                self._fork()
            while not self._is_stopping and not all(one.is_ready for one in self._processes):
                self._wait()
        if not self._is_stopping:
            self._is_started = True
            self._on_ready()

    def _start_missing(self) -> None:
        at = time.monotonic()
        due = [one for one in self._start_times if one <= at]
        self._start_times = [one for one in self._start_times if one > at]
        for _ in due:
            try:
                self._fork()
            except OSError as error:  # without memory, or with too many processes of the user
                log.error("A process cannot be started: %s", error)
                self._start_times.append(at + MAX_RESTART_DELAY)

    def _fork(self) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        # The handlers of the supervisor would ignore a signal in the new process, so it waits.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._become_process(ours, theirs, mask)
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        ours.setblocking(False)
        self._processes.append(ServerProcess(pid, ours))

    def _become_process(
        self, ours: socket.socket, channel: socket.socket, mask: set[int]
    ) -> NoReturn:
        """Continue as a process that serves requests; `mask` is that of its signals."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in STOP_SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for other in (ours, self._woken, self._wake, *(one.channel for one in self._processes)):
                other.close()
            gc.enable()
            status = run_command(lambda: self._run_process(channel))
        except BaseException:
            traceback.print_exc()
        finally:
            # What the supervisor would do at its end is not for this process.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _wait(self, seconds: float = CHECK_INTERVAL) -> None:
        """Wait for a signal or a sign of life, and handle what has happened."""
        channels = {one.channel: one for one in self._processes}
        ready, _, _ = select.select([self._woken, *channels], [], [], seconds)
        for channel in ready:
            with suppress(BlockingIOError):
                received = channel.recv(4096)
                if channel in channels and received:
                    process = channels[channel]
                    process.missed_checks = 0
                    process.is_ready = process.is_ready or READY in received
        self._remove_ended()
        at = time.monotonic()
        if at - self._checked_at >= CHECK_INTERVAL and not self._is_stopping:
            self._checked_at = at
            self._kill_silent()
            if self._postgres is not None:
                self._postgres.restart_if_crashed()

    def _kill_silent(self) -> None:
        """Kill processes that hang or are frozen, so that their clients connect to another one.

        What is counted are checks of a running supervisor: after a sleep of the machine all live.
        """
        for process in self._processes:
            process.missed_checks += 1
            if process.missed_checks > MAX_MISSED_CHECKS:
                log.error("The process %s does not answer. It is killed.", process.pid)
                os.kill(process.pid, signal.SIGKILL)
                process.missed_checks = 0

    def _remove_ended(self) -> None:
        for process in list(self._processes):
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                self._processes.remove(process)
                process.channel.close()
                if not self._is_stopping:
                    self._handle_end(process, os.waitstatus_to_exitcode(status))

    def _handle_end(self, process: ServerProcess, status: int) -> None:
        """Plan the restart of a process that has ended. Raises CommandError during the start."""
        reason = f"signal {-status}" if status < 0 else f"status {status}"
        if not self._is_started:
            raise CommandError(f"A process could not start: it ended with {reason}.")
        at, delay = time.monotonic(), 0.0
        self._short_lives = self._short_lives + 1 if at - process.started_at < MIN_LIFETIME else 0
        if self._short_lives:
            delay = min(0.25 * 2 ** min(self._short_lives, 10), MAX_RESTART_DELAY)
        log.error(
            "The process %s has ended with %s. Another one starts in %s s.",
            process.pid,
            reason,
            delay,
        )
        self._start_times.append(at + delay)

    def _stop_all(self) -> None:
        """Stop the processes, and kill those that take longer than STOP_TIMEOUT."""
        self._is_stopping = True
        self._send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT
        while self._processes:
            self._wait(0.05)
            if time.monotonic() > deadline:
                self._send_signal(signal.SIGKILL)

    def _send_signal(self, number: signal.Signals) -> None:
        for process in self._processes:
            os.kill(process.pid, number)  # one that has ended is a zombie until it is removed
