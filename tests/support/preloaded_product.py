"""Processes of `./run` that are forked from one that has imported the product already.

An import takes seconds of a processor. A forked process shares no state with others: it has its own
arguments and environment, and is started, stopped and killed like one that imports for itself.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn

from jinja2 import FileSystemBytecodeCache

ROOT = Path(__file__).parent.parent.parent
INT64 = struct.Struct("!q")
IMPORT_TIMEOUT = 120  # seconds
DEFAULTS = {"MC_ENV_FILE": os.devnull, "PYTHONUNBUFFERED": "1"}  # no settings of a developer
MODULES = (
    "alembic.command",
    "app",
    "cli.database",
    "cli.link",
    "cli.process",
    "cli.serve",
    "cli.worker",
    "core.http.server_protocol",
    "uvloop",
)


class ForkedProcess:
    """A forked process, with the methods of `subprocess.Popen` that the tests use."""

    def __init__(self, connection: socket.socket, output: IO[str]) -> None:
        self._connection = connection
        self.stdout = output
        self.returncode: int | None = None
        self.pid = self._receive_number(IMPORT_TIMEOUT)

    def send_signal(self, number: int) -> None:
        """Send a signal unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float) -> int:
        """Wait until the process has ended, and return its exit status."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(self._receive_number(timeout))
            self._connection.close()
        return self.returncode

    def _receive_number(self, timeout: float) -> int:
        self._connection.settimeout(timeout)
        try:
            received = self._connection.recv(INT64.size)
        except (BlockingIOError, TimeoutError) as error:
            raise subprocess.TimeoutExpired("./run", timeout) from error
        assert received, "The process that forks, or the monitor of the forked one, has ended."
        [number] = INT64.unpack(received)
        return number


class PreloadedProduct:
    """The process that forks; it is started when it is needed first."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self.template_cache: Path | str = ""  # a folder, if there is one

    def run(
        self,
        words: Sequence[str],
        environment: dict[str, str],
        errors: IO[str],
        *,
        with_nohup: bool = False,
    ) -> ForkedProcess:
        """Run `./run` with arguments and additional variables.

        Whether it ignores SIGHUP does not depend on the shell that has started the tests.
        """
        request = {
            "words": list(words),
            "environment": {**os.environ, **DEFAULTS, **environment},
            "with_nohup": with_nohup,
        }
        ours, theirs = socket.socketpair()
        ours.sendall(json.dumps(request).encode() + b"\n")
        output, written = os.pipe()
        socket.send_fds(self._connect(), [b"."], [theirs.fileno(), written, errors.fileno()])
        theirs.close()
        os.close(written)
        return ForkedProcess(ours, os.fdopen(output))

    def stop(self) -> None:
        """End the process that forks. It does not end those that it has forked."""
        if self._process is not None and self._connection is not None:
            self._connection.close()
            self._process.wait(20)
        self._process = self._connection = None

    def _connect(self) -> socket.socket:
        if self._connection is None:
            self._connection, theirs = socket.socketpair()
            words = (str(theirs.fileno()), str(self.template_cache))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.preloaded_product", *words],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                pass_fds=[theirs.fileno()],
            )
            theirs.close()
        return self._connection


PRODUCT = PreloadedProduct()


def keep_compiled_templates(folder: Path) -> None:
    """Compile a template once for all processes of the tests, if this one renders templates."""
    if render := sys.modules.get("web.ui.render"):
        render.environment.bytecode_cache = FileSystemBytecodeCache(str(folder))


def fork_on_request(connection: socket.socket) -> dict[str, Any]:
    """Fork for each request, and return the request in the new process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the monitors
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests, and they end this
    while True:
        data, descriptors, *_ = socket.recv_fds(connection, 1, 3)
        if not data:
            sys.exit()
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return fork_with_monitor(*descriptors)


def fork_with_monitor(connection: int, output: int, errors: int) -> dict[str, Any]:
    """Fork the process of a request; this one, its monitor, reports its id and exit status."""
    with socket.socket(fileno=connection) as tests:
        with tests.makefile() as lines:
            request = json.loads(lines.readline())
        pid = os.fork()
        if pid:
            os.close(output)
            os.close(errors)
            try:
                tests.sendall(INT64.pack(pid))
                tests.sendall(INT64.pack(os.waitpid(pid, 0)[1]))
            finally:
                os._exit(0)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    for target, descriptor in ((1, output), (2, errors)):
        os.dup2(descriptor, target)
        os.close(descriptor)
    return request


def end_process(status: Any) -> NoReturn:
    """End as the interpreter does, except that modules and objects are not destroyed.

    They are those of the process that was forked: it takes 0.1 s of a processor to destroy copies.
    """
    threading._shutdown()  # ty: ignore[missing-attribute] - waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Import the product, and become each of the requested processes."""
    gc.disable()  # what is imported stays
    for module in MODULES:
        import_module(module)
    if sys.argv[2]:
        keep_compiled_templates(Path(sys.argv[2]))
    import_module("app").compile_in_advance(threading.Event())
    gc.freeze()  # a collection would copy the pages of memory that the processes share
    gc.enable()
    request = fork_on_request(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_IGN if request["with_nohup"] else signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["cli", *request["words"]]
    try:
        runpy.run_module("cli", run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        end_process(ending.code)


if __name__ == "__main__":
    main()
