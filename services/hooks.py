"""Hooks: points of a change at which domains above the one that makes it do their part.

A domain imports only domains below it. So `boards` cannot call `agents` when a board is deleted: it
declares a hook, and runs it in the transaction of the deletion. `services.subscriptions` lists the
handlers of all hooks, in the order in which they run.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

Occasion = TypeVar("Occasion")
Result = TypeVar("Result")

Handler: TypeAlias = Callable[[AsyncSession, Occasion], Awaitable[Sequence[Result] | None]]
"""Does the part of one domain. An exception is not caught, so it ends the transaction."""


class Hook(Generic[Occasion, Result]):
    """A point of a change. `Occasion` says what changes, `Result` what handlers contribute.

    Handlers run one after the other, in the session and with the locks of the change. They take
    locks only in the usual order, and do not commit. Most hooks contribute
    events, which the change records with its own. `Never` stands for no results.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.handlers: tuple[Handler[Occasion, Result], ...] | None = None

    def subscribe(self, *handlers: Handler[Occasion, Result]) -> None:
        """Set the handlers. Only `services.subscriptions` calls this, once for each hook."""
        if self.handlers is not None:
            raise RuntimeError(f"The handlers of {self.name} are set already.")
        self.handlers = handlers

    async def run(self, session: AsyncSession, occasion: Occasion) -> list[Result]:
        """Run the handlers, and return what they contribute, in this order.

        Raises RuntimeError in a process that has not imported `services.subscriptions`.
        """
        if self.handlers is None:
            raise RuntimeError(f"{self.name} has no handlers: import services.subscriptions.")
        results: list[Result] = []
        for handler in self.handlers:
            results += await handler(session, occasion) or ()
        return results
