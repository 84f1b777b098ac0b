"""Operations of the API: how they are declared, and how a request becomes a handler call.

A request is checked in the order of the contract (people-and-boards, 1.3): JSON syntax, caller,
access to the objects in the path, fields, and the rules of the domain.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, get_type_hints

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from api.framework.auth import AllowedCaller, authenticate_request, get_offline_after
from api.framework.errors import InvalidFields, add_etag, read_known_versions
from api.framework.idempotency import (
    read_idempotent_request,
    run_idempotent,
    run_idempotent_without_transaction,
)
from api.framework.request_parser import RequestBody, RequestParser, read_json_body
from core.config.settings import Settings
from core.http.request import Session, get_settings, open_transaction
from core.http.request_slots import release_slots
from core.security.encryption import SecretCipher
from core.validation import KnownVersions
from models import Actor, Agent, User
from services import approvals, tasks
from services.gateways import GatewayConnector

PREFIX = "/api/v1"
NON_REQUEST_NAMES = {
    "agent",
    "board",
    "context",
    "field",
    "gateway",
    "gateway_request",
    "group",
    "locked_group",
    "locked_member",
    "member",
    "note",
    "return",
    "scope",
    "tag",
}
"""Names in a handler's annotations that dependencies provide; the caller does not send them."""

Handler = Callable[..., Awaitable[Any]]
Dependency = Callable[["RequestContext", Mapping[str, Any]], Awaitable[dict[str, Any]]]

EXISTENCE_CHECKS: Mapping[str, Callable[..., Awaitable[object]]] = {
    "task_id": tasks.get_task_detail,
    "approval_id": approvals.get_approval,
}
"""Functions that raise NotFound if an object in the path is not on the board."""


def without_transaction(handler: Handler) -> Handler:
    """Mark a handler that waits for the network and must not hold a transaction while it runs.

    Its dependencies are loaded in a transaction that has ended. The handler opens its own with
    `context.transaction()`, before and after the network call.
    """
    setattr(handler, "waits_for_network", True)  # noqa: B010 - a Callable has no such attribute
    return handler


def error_responses(*statuses: int) -> Callable[[Handler], Handler]:
    """Mark a handler with the error statuses of its rules, for the OpenAPI document."""

    def mark(handler: Handler) -> Handler:
        setattr(handler, "error_statuses", statuses)  # noqa: B010 - a Callable has no such attribute
        return handler

    return mark


@dataclass(frozen=True)
class RequestContext:
    """An authenticated request, and the open transaction if there is one."""

    open_session: Session | None
    allowed_caller: AllowedCaller
    authenticated: Actor | None
    request: Request

    @property
    def session(self) -> Session:
        """The session of the open transaction."""
        assert self.open_session is not None
        return self.open_session

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """Open a transaction, in a handler that waits for the network."""
        return open_transaction(self.request)

    @property
    def actor(self) -> Actor:
        """The authenticated user or agent."""
        assert self.authenticated is not None
        return self.authenticated

    @property
    def user(self) -> User:
        """The authenticated user, in an operation that only users may call."""
        assert isinstance(self.authenticated, User)
        return self.authenticated

    @property
    def agent(self) -> Agent:
        """The authenticated agent, in an operation that only agents may call."""
        assert isinstance(self.authenticated, Agent)
        return self.authenticated

    @property
    def settings(self) -> Settings:
        """The settings of this installation."""
        return get_settings(self.request)

    @property
    def secret_cipher(self) -> SecretCipher:
        """The cipher for tokens at rest."""
        cipher: SecretCipher = self.request.state.secret_cipher
        return cipher

    @property
    def gateway_connector(self) -> GatewayConnector:
        """The connector to gateways of this process, for a request that then waits for one."""
        release_slots(self.request)
        connector: GatewayConnector = self.request.state.gateway_connector
        return connector

    @property
    def known_versions(self) -> KnownVersions:
        """The versions in If-Match; None without that header."""
        return read_known_versions(self.request)

    @property
    def offline_after(self) -> timedelta:
        """How long an agent may be silent before it is offline."""
        return get_offline_after(self.request)


@dataclass(frozen=True)
class Operation:
    """A method and a path, its allowed callers, its dependency, and its handler.

    A handler is `async def f(context, board?, member?, agent?, query?, body?, <path parameters>)`.
    Parameters and response are read from its annotations, the description from its docstring.
    `dependency` loads what the handler works on: see api/framework/dependencies.py.
    """

    method: str
    path: str
    handler: Handler
    allowed_caller: AllowedCaller
    tags: Sequence[str]
    dependency: Dependency | None = None
    hints: Mapping[str, Any] = field(default_factory=dict)  # x-… keys for agents
    id: str = ""

    @cached_property
    def parser(self) -> RequestParser:
        """The parser of path parameters, query and body."""
        parameters = {
            name: type for name, type in self._annotations.items() if name not in NON_REQUEST_NAMES
        }
        return RequestParser(self.path, parameters)

    @cached_property
    def response_type(self) -> TypeAdapter[Any] | None:
        """The type of the response; None if the handler returns a Response itself."""
        annotation = self._annotations["return"]
        if inspect.isclass(annotation) and issubclass(annotation, Response):
            return None
        return TypeAdapter(annotation)

    @property
    def error_statuses(self) -> Sequence[int]:
        """The error statuses that the rules of the domain can produce."""
        marked: Sequence[int] = getattr(self.handler, "error_statuses", ())
        return marked

    @property
    def accepts_idempotency_key(self) -> bool:
        """Whether the caller may repeat the request with an Idempotency-Key."""
        return self.method == "POST" and self.allowed_caller is not AllowedCaller.ANYONE

    @property
    def is_versioned(self) -> bool:
        """Whether the response has a version, and so an ETag."""
        return "version" in getattr(self._annotations["return"], "model_fields", ())

    @property
    def operation_id(self) -> str:
        """The id of this operation for API clients (contract, 1.15)."""
        path = "".join(c if c.isalnum() else "_" for c in f"{PREFIX}{self.path}")
        return self.id or f"{self._handler_name}{path}_{self.method.lower()}"

    @property
    def summary(self) -> str:
        """The first line of the description."""
        return self.description.partition("\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        """The docstring of the handler."""
        return inspect.getdoc(self.handler) or ""

    async def handle(self, request: Request) -> Response:
        """Handle one request."""
        body = await read_json_body(request) if self.parser.body else None
        actor = await authenticate_request(request, self.allowed_caller)
        path = self.parser.parse_path(request.path_params)
        context = RequestContext(None, self.allowed_caller, actor, request)
        idempotent_request = read_idempotent_request(request, actor, body)
        check_access = partial(self._load, context, path)
        if self._waits_for_network:
            return await run_idempotent_without_transaction(
                request,
                idempotent_request,
                lambda: self._run_without_transaction(context, path, body),
                check_access,
            )
        async with open_transaction(request) as session:
            transaction_context = replace(context, open_session=session)
            return await run_idempotent(
                session,
                request,
                idempotent_request,
                lambda: self._run_in_transaction(transaction_context, path, body),
                check_access,
            )

    async def _run_in_transaction(
        self, context: RequestContext, path: Mapping[str, Any], body: RequestBody | None
    ) -> Response:
        return self._build_response(
            context, await self.handler(context, **await self._load_arguments(context, path, body))
        )

    async def _run_without_transaction(
        self, context: RequestContext, path: Mapping[str, Any], body: RequestBody | None
    ) -> Response:
        async with context.transaction() as session:
            opened = replace(context, open_session=session)
            arguments = await self._load_arguments(opened, path, body)
        return self._build_response(context, await self.handler(context, **arguments))

    async def _load(
        self, context: RequestContext, path: Mapping[str, Any], session: Session | None = None
    ) -> Mapping[str, Any]:
        context = replace(context, open_session=session) if session else context
        return await self.dependency(context, path) if self.dependency else {}

    async def _load_arguments(
        self, context: RequestContext, path: Mapping[str, Any], body: RequestBody | None
    ) -> dict[str, Any]:
        """Return the arguments of the handler: loaded objects and parsed values."""
        loaded = await self._load(context, path)
        try:
            values = self.parser.parse_query_and_body(context.request.query_params, body)
        except InvalidFields:
            await self._check_path_objects(context, loaded, path)
            raise
        arguments = {**loaded, **path, **values}
        return {name: value for name, value in arguments.items() if name in self._annotations}

    def _build_response(self, context: RequestContext, result: Any) -> Response:
        if self.response_type is None:
            return result
        response = Response(self.response_type.dump_json(result), media_type="application/json")
        version = getattr(result, "version", None)
        return add_etag(context.request, response, version) if version is not None else response

    async def _check_path_objects(
        self, context: RequestContext, loaded: Mapping[str, Any], path: Mapping[str, Any]
    ) -> None:
        """Raise NotFound for a missing object; this takes precedence over field errors."""
        for name in self.parser.path.keys() & EXISTENCE_CHECKS.keys():
            await EXISTENCE_CHECKS[name](context.session, loaded["board"], path[name])

    @property
    def _waits_for_network(self) -> bool:
        return getattr(self.handler, "waits_for_network", False)

    @property
    def _handler_name(self) -> str:
        return str(getattr(self.handler, "__name__"))  # noqa: B009 - a Callable may have none

    @cached_property
    def _annotations(self) -> dict[str, Any]:
        return get_type_hints(self.handler, include_extras=True)
