"""One thing that can be asked of the API: how it is declared, and how a request becomes its call.

The order in which a request can fail is the contract's (people-and-boards, 1.3): what is no JSON,
who is calling, what they may reach, whether the fields are right, the rules of the thing itself.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_type_hints

from pydantic import BaseModel, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.auth import Caller, identify
from api.json import answer, read_json
from api.reading import Reading
from kit.http import Session, transaction
from models import Actor

Handler = Callable[..., Awaitable[Any]]
Reach = Callable[["Call", Mapping[str, Any]], Awaitable[dict[str, Any]]]

NOT_SENT = {"call", "board", "member", "return"}  # what a handler takes that no caller sends


@dataclass(frozen=True)
class Call:
    """A request that is being answered: who asks, and the open transaction."""

    session: Session
    actor: Actor | None
    request: Request


@dataclass(frozen=True)
class Operation:
    """A method and a path, who may call it, what it acts upon, and the function that does it.

    A handler is `async def f(call, board?, member?, query?, body?, <path parameters>)`; what it
    takes and gives is read from its annotations, and what it is for from its docstring.
    `reach` finds what the caller may reach and gives it to the handler: see api/reach.py.
    """

    method: str
    path: str
    handler: Handler
    caller: Caller
    tags: Sequence[str]
    reach: Reach | None = None
    errors: Sequence[int] = ()
    hints: Mapping[str, Any] = field(default_factory=dict)  # the x-… keys that agents filter by
    id: str = ""

    @cached_property
    def reads(self) -> Reading:
        """What the caller sends: parameters and body."""
        takes = {name: of for name, of in self._hints.items() if name not in NOT_SENT}
        return Reading(self.path, takes)

    @cached_property
    def gives(self) -> TypeAdapter[Any] | None:
        """What the answer looks like; None where the handler makes the answer itself."""
        given = self._hints["return"]
        if inspect.isclass(given) and issubclass(given, Response):
            return None
        return TypeAdapter(given)

    @property
    def body(self) -> type[BaseModel] | None:
        """The model of the request's body, if it has one."""
        return self.reads.body

    @property
    def operation_id(self) -> str:
        """The id under which clients know this operation (contract, 1.15)."""
        path = "".join(c if c.isalnum() else "_" for c in f"/api/v1{self.path}")
        return self.id or f"{self.handler.__name__}{path}_{self.method.lower()}"

    @property
    def summary(self) -> str:
        """One sentence that says what it is for."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        """All that there is to say about it."""
        return inspect.getdoc(self.handler) or ""

    @property
    def route(self) -> Route:
        """The operation as Starlette routes it."""
        return Route(self.path, self.run, methods=[self.method], name=self.operation_id)

    async def run(self, request: Request) -> Response:
        """Answer one request."""
        sent = await read_json(request) if self.reads.body else None
        actor = await identify(request, self.caller)
        path = self.reads.path_values(request.path_params)
        async with transaction(request) as session:
            call = Call(session, actor, request)
            reached = await self.reach(call, path) if self.reach else {}
            values = self.reads.values(path, request.query_params, sent)
            taken = {name: of for name, of in (reached | values).items() if name in self._hints}
            result = await self.handler(call, **taken)
        return result if self.gives is None else answer(self.gives, result)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.handler, include_extras=True)
