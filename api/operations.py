"""One thing that can be asked of the API: how it is declared, and how a request becomes its call.

The order in which a request can fail is the contract's (people-and-boards, 1.3): what is no JSON,
who is calling, what they may reach, whether the fields are right, the rules of the thing itself.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, get_type_hints

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from api.auth import Caller, identify, offline_after
from api.idempotency import asked_again, once, once_between
from api.json import InvalidFields, Sent, answer, read_json
from api.reading import Reading
from api.versions import known_versions, tagged
from kit.http import Session, transaction
from kit.versions import Known
from models import Actor, Agent, User
from services import approvals, tasks

PREFIX = "/api/v1"
NOT_SENT = {
    "agent",
    "asked",
    "board",
    "call",
    "field",
    "gateway",
    "group",
    "held",
    "member",
    "note",
    "place",
    "return",
    "tag",
}
"""What no caller sends: it is given to handlers by what is reached."""


Handler = Callable[..., Awaitable[Any]]
Reach = Callable[["Call", Mapping[str, Any]], Awaitable[dict[str, Any]]]


EXISTENCE: Mapping[str, Callable[..., Awaitable[object]]] = {
    "task_id": tasks.detail,
    "approval_id": approvals.one,
}
"""How to see whether what a path names is on the board that was reached."""


def between_transactions(handler: Handler) -> Handler:
    """Mark a handler that waits for the network, and so has no transaction while it runs.

    What it may reach was found in one that is over; for more it opens its own, with
    `call.transaction()`, before it asks the network and after.
    """
    setattr(handler, "between", True)  # noqa: B010 - a Callable has no such attribute
    return handler


def may_answer(*errors: int) -> Callable[[Handler], Handler]:
    """Mark a handler with the errors that its rules can raise, for the OpenAPI document."""

    def mark(handler: Handler) -> Handler:
        setattr(handler, "errors", errors)  # noqa: B010 - a Callable has no such attribute
        return handler

    return mark


@dataclass(frozen=True)
class Call:
    """A request that is being answered: who asks, and the open transaction, where there is one."""

    opened: Session | None
    caller: Caller
    known: Actor | None
    request: Request

    @property
    def session(self) -> Session:
        """The open transaction."""
        assert self.opened is not None
        return self.opened

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """Open a transaction, for what is done between two waits for the network."""
        return transaction(self.request)

    @property
    def actor(self) -> Actor:
        """Whoever asks."""
        assert self.known is not None
        return self.known

    @property
    def user(self) -> User:
        """The person who asks, where only people may."""
        assert isinstance(self.known, User)
        return self.known

    @property
    def agent(self) -> Agent:
        """The agent that asks, where only agents may."""
        assert isinstance(self.known, Agent)
        return self.known

    @property
    def known_versions(self) -> Known:
        """The versions of what is to be changed that the caller knows, if they say."""
        return known_versions(self.request)

    @property
    def offline_after(self) -> timedelta:
        """How long an agent may be silent before it is offline."""
        return offline_after(self.request)


@dataclass(frozen=True)
class Operation:
    """A method and a path, who may call it, what it acts upon, and the function that does it.

    A handler is `async def f(call, board?, member?, agent?, query?, body?, <path parameters>)`;
    what it takes and gives is read from its annotations, and what it is for from its docstring.
    `reach` finds what the caller may reach and gives it to the handler: see api/reach.py.
    """

    method: str
    path: str
    handler: Handler
    caller: Caller
    tags: Sequence[str]
    reach: Reach | None = None
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
    def errors(self) -> Sequence[int]:
        """The errors that its rules can raise."""
        marked: Sequence[int] = getattr(self.handler, "errors", ())
        return marked

    @property
    def takes_a_key(self) -> bool:
        """Whether it may be sent again under an Idempotency-Key."""
        return self.method == "POST" and self.caller is not Caller.ANYONE

    @property
    def has_versions(self) -> bool:
        """Whether it answers with something that has a version, and so with an ETag."""
        return "version" in getattr(self._hints["return"], "model_fields", ())

    @property
    def operation_id(self) -> str:
        """The id under which clients know this operation (contract, 1.15)."""
        path = "".join(c if c.isalnum() else "_" for c in f"{PREFIX}{self.path}")
        return self.id or f"{self._name}{path}_{self.method.lower()}"

    @property
    def summary(self) -> str:
        """One sentence that says what it is for."""
        return self.description.partition("\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        """All that there is to say about it."""
        return inspect.getdoc(self.handler) or ""

    async def run(self, request: Request) -> Response:
        """Answer one request."""
        sent = await read_json(request) if self.reads.body else None
        actor = await identify(request, self.caller)
        path = self.reads.path_values(request.path_params)
        call = Call(None, self.caller, actor, request)
        asked = asked_again(request, actor, sent)
        if self._between:
            return await once_between(request, asked, lambda: self._apart(call, path, sent))
        async with transaction(request) as session:
            within = replace(call, opened=session)
            return await once(session, request, asked, lambda: self._within(within, path, sent))

    async def _within(self, call: Call, path: Mapping[str, Any], sent: Sent | None) -> Response:
        return self._written(call, await self.handler(call, **await self._taken(call, path, sent)))

    async def _apart(self, call: Call, path: Mapping[str, Any], sent: Sent | None) -> Response:
        async with call.transaction() as session:
            taken = await self._taken(replace(call, opened=session), path, sent)
        return self._written(call, await self.handler(call, **taken))

    async def _taken(
        self, call: Call, path: Mapping[str, Any], sent: Sent | None
    ) -> dict[str, Any]:
        """Return what the handler takes: what is reached, and what was sent."""
        reached = await self.reach(call, path) if self.reach else {}
        try:
            values = self.reads.values(call.request.query_params, sent)
        except InvalidFields:
            await self._see_what_is_there(call, reached, path)
            raise
        given = {**reached, **path, **values}
        return {name: value for name, value in given.items() if name in self._hints}

    def _written(self, call: Call, result: Any) -> Response:
        if self.gives is None:
            return result
        response = answer(self.gives, result)
        version = getattr(result, "version", None)
        return tagged(call.request, response, version) if version is not None else response

    async def _see_what_is_there(
        self, call: Call, reached: Mapping[str, Any], path: Mapping[str, Any]
    ) -> None:
        """Raise NotFound if the path names nothing: that is told before fields that are wrong."""
        for name in self.reads.path.keys() & EXISTENCE.keys():
            await EXISTENCE[name](call.session, reached["board"], path[name])

    @property
    def _between(self) -> bool:
        return getattr(self.handler, "between", False)

    @property
    def _name(self) -> str:
        name: str = getattr(self.handler, "__name__")  # noqa: B009 - a Callable may have none
        return name

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.handler, include_extras=True)
