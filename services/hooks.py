"""Hooks: points of a change at which a domain above the one that makes it does its part.

A domain imports only domains below it. So `boards` cannot call `agents` when a board is deleted: it
declares a hook, and runs it in the transaction of the deletion. `services.subscriptions` lists the
handlers of all hooks.
"""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

Occasion = TypeVar("Occasion")
Result = TypeVar("Result")


class Hook(Generic[Occasion, Result]):
    """A point of a change. `Occasion` says what changes, `Result` what the handler contributes.

    The handler runs in the session and with the locks of the change. It takes locks only in the
    usual order, and does not commit; an exception is not caught, so it ends the transaction. Most
    hooks contribute events, which the change records with its own.
    """

    def __init__(self) -> None:
        self.handler: Callable[[AsyncSession, Occasion], Awaitable[Result]] | None = None

    async def run(self, session: AsyncSession, occasion: Occasion) -> Result:
        """Run the handler, and return what it contributes.

        Raises RuntimeError in a process that has not imported `services.subscriptions`.
        """
        if self.handler is None:
            raise RuntimeError("The hook has no handler: import services.subscriptions.")
        return await self.handler(session, occasion)
