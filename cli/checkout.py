"""The processes that run from this checkout, and the update that replaces it."""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TextIO

from cli.command import CommandError
from cli.install import UPDATE_FILE, UPDATE_FOLDER
from core.config.paths import PROJECT_ROOT

RUN = PROJECT_ROOT / "run"
PROCESSES_FILE = UPDATE_FOLDER / "processes"  # locked by all processes, and by an update
RESTART_SIGNAL = signal.SIGUSR1
STOP_TIMEOUT = 60.0  # seconds until all processes have stopped
POLL_INTERVAL = 0.1  # seconds

_restart_requests: list[int] = []


@contextmanager
def run_from_checkout() -> Generator[None, None, None]:
    """Let an update restart this process, which runs from the checkout during the block.

    The process starts again as it was started when it got the signal and has stopped. Without write
    access to the checkout, and for the child of such a process, nothing happens.
    """
    own = UPDATE_FOLDER / str(os.getpid())
    if _is_locked(own.with_name(str(os.getppid()))):
        yield
        return
    try:
        UPDATE_FOLDER.mkdir(exist_ok=True)
        shared, file = PROCESSES_FILE.open("a"), own.open("a")
    except OSError:
        yield
        return
    with shared, file:
        signal.signal(RESTART_SIGNAL, _request_restart)
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            if _has_lock(shared, fcntl.LOCK_SH):
                yield
            else:  # an update has begun: it replaces the code that is loaded
                _restart_requests.append(os.getpid())
        finally:
            own.unlink(missing_ok=True)
    if _restart_requests:
        restart_process()


def _request_restart(number: int, frame: object) -> None:
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:  # it would not restart, but die
        restart_process()
    _restart_requests.append(number)
    os.kill(os.getpid(), signal.SIGTERM)  # the handler of which stops the process


def restart_process() -> NoReturn:
    """Replace this process by one with the same arguments, of the present checkout."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(RUN, [str(RUN), *sys.argv[1:]])  # noqa: S606


@contextmanager
def begin_update() -> Generator[TextIO, None, None]:
    """Let processes that start wait for the end of the block. Raises CommandError.

    While a commit is written into the file, the next start leads back to it if the update was
    interrupted: see `cli.install.wait_for_update`.
    """
    try:
        UPDATE_FOLDER.mkdir(exist_ok=True)
        file = UPDATE_FILE.open("a")
    except OSError as error:
        raise CommandError(f"{UPDATE_FOLDER} cannot be written: {error.strerror}.") from None
    with file:
        if not _has_lock(file, fcntl.LOCK_EX):
            raise CommandError("Another update is running.")
        yield file


@contextmanager
def stop_processes() -> Generator[int, None, None]:
    """Stop all processes of the checkout, and let them start again after `begin_update`.

    Yield how many they were. Raises CommandError if one does not stop.
    """
    signalled: set[int] = set()
    end = time.monotonic() + STOP_TIMEOUT
    with PROCESSES_FILE.open("a") as shared:
        while not _has_lock(shared, fcntl.LOCK_EX):
            for pid in _list_processes():
                if pid not in signalled:
                    _send_restart_signal(pid)
                    signalled.add(pid)
            if time.monotonic() > end:
                raise CommandError(f"A process does not stop in {STOP_TIMEOUT:.0f} seconds.")
            time.sleep(POLL_INTERVAL)
        for path in UPDATE_FOLDER.glob("[0-9]*"):  # of processes that were killed
            path.unlink(missing_ok=True)
        yield len(signalled)


def _send_restart_signal(pid: int) -> None:
    try:
        os.kill(pid, RESTART_SIGNAL)
    except ProcessLookupError:
        return
    except PermissionError:
        raise CommandError(
            f"The process {pid} runs from this checkout as another account: stop it there."
        ) from None


def _list_processes() -> list[int]:
    """Return the ids of the processes. The file of one that was killed is not locked."""
    return [int(path.name) for path in UPDATE_FOLDER.glob("[0-9]*") if _is_locked(path)]


def _is_locked(path: Path) -> bool:
    with suppress(FileNotFoundError), path.open() as file:
        return not _has_lock(file, fcntl.LOCK_SH)
    return False


def _has_lock(file: TextIO, kind: int) -> bool:
    """Lock a file unless another process has a lock of it; return whether it is locked now."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
