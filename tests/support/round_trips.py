"""Record what this process sends to PostgreSQL, over whichever connection and library.

SQLAlchemy and plain connections both send through the protocol object of asyncpg. Each call of one
of its methods ends with one message that PostgreSQL answers, so that it is one round trip. This
includes BEGIN, COMMIT and the preparation of statements, which hooks of SQLAlchemy do not see.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from asyncpg.protocol import Protocol

TRANSACTION_CONTROL = ("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", ";")
INTROSPECTION = ("typeinfo", "set_config('jit'")
"""In the statements with which asyncpg reads types the first time that it sees them."""
ONLY_IN_TESTS = "set constraints record_events"  # see savepoint_session.py
ONE_TIME = ("prepare", "close_statement")
METHODS = (
    *ONE_TIME,
    *("bind", "bind_execute", "bind_execute_many", "execute"),
    *("query", "copy_in", "copy_out"),
)
METHODS_WITH_ARGUMENTS = ("bind", "bind_execute", "bind_execute_many")  # many: a list of each


@dataclass(frozen=True)
class RoundTrip:
    """One message to PostgreSQL and its answer."""

    method: str  # of the protocol object
    statement: str
    arguments: tuple[Any, ...] = ()
    connection: Any = field(default=None, repr=False)  # the protocol object

    @property
    def is_one_time(self) -> bool:
        """Whether a connection that has run the statement before does not need it."""
        is_introspection = any(word in self.statement for word in INTROSPECTION)
        is_of_tests = self.statement.startswith(ONLY_IN_TESTS)
        return self.method in ONE_TIME or is_introspection or is_of_tests

    @property
    def is_transaction_control(self) -> bool:
        """Whether it only begins or ends a transaction or savepoint, or pings."""
        return self.statement.lstrip().upper().startswith(TRANSACTION_CONTROL)

    @property
    def is_statement(self) -> bool:
        """Whether it runs a statement: not if it prepares one or fetches more of its rows."""
        fetches_more = self.method == "execute"
        return not (fetches_more or self.is_one_time or self.is_transaction_control)


class RoundTripLog:
    """The recorded round trips, in the order in which they were sent."""

    def __init__(self) -> None:
        self.all: list[RoundTrip] = []

    @property
    def repeated(self) -> list[RoundTrip]:
        """Those that each request needs, also on a connection that has run its statements."""
        return [one for one in self.all if not one.is_one_time]

    @property
    def statements(self) -> list[str]:
        """The statements without preparation and transaction control."""
        return [one.statement for one in self.all if one.is_statement]


_listeners: list[Callable[[RoundTrip], None]] = []
_originals: dict[str, Any] = {}


@contextmanager
def record_round_trips() -> Generator[RoundTripLog]:
    """Record the round trips of all connections of this process in this context."""
    log = RoundTripLog()
    with listen_to_round_trips(log.all.append):
        yield log


@contextmanager
def listen_to_round_trips(listener: Callable[[RoundTrip], None]) -> Generator[None]:
    """Call `listener` before each round trip; contexts may overlap."""
    if not _listeners:
        _install()
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
        if not _listeners:
            _uninstall()


def _install() -> None:
    for name in METHODS:
        _originals[name] = Protocol.__dict__.get(name)
        setattr(Protocol, name, _wrap(name, getattr(Protocol, name)))


def _uninstall() -> None:
    """Restore the methods; those that are inherited are removed from the class again."""
    for name, original in _originals.items():
        if original is None:
            delattr(Protocol, name)
        else:
            setattr(Protocol, name, original)
    _originals.clear()


def _wrap(name: str, method: Any) -> Any:
    @wraps(method)
    async def send(protocol: Any, *given: Any, **named: Any) -> Any:
        positional = [*given, *named.values()]  # in the same order in all calls of asyncpg
        what = positional[1] if name == "prepare" else positional[0]
        arguments = tuple(positional[1]) if name in METHODS_WITH_ARGUMENTS else ()
        sent = RoundTrip(name, getattr(what, "query", what), arguments, protocol)
        for listener in _listeners:
            listener(sent)
        return await method(protocol, *given, **named)

    return send
