"""Operations of the API: how they are declared, and how a request becomes a handler call.

A request is checked in the order of the original: JSON syntax, caller,
access to the objects in the path, fields, and the rules of the domain.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeAlias, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from api.framework.auth import (
    AllowedCaller,
    authenticate_by_reading,
    authenticate_request,
    require_decision_scope,
)
from api.framework.errors import VERSION_UNSUPPORTED, InvalidFields, add_etag, read_known_versions
from api.framework.idempotency import (
    IDEMPOTENCY_KEY_HEADER,
    read_idempotent_request,
    run_idempotent,
    run_idempotent_without_transaction,
)
from api.framework.news import wait_for_news
from api.framework.original_names import OPERATION_NAMES
from api.framework.request_context import RequestContext
from api.framework.request_parser import RequestBody, RequestParser, read_json_body
from core.db.reads import WriteRequired
from core.errors import Invalid, PreconditionFailed
from core.http.long_wait import WaitEnd
from core.http.request import Session, open_reader, open_transaction
from core.json_responses import Encoded
from models import Actor
from services import approvals, board_webhooks, tasks
from services.idempotency import IdempotentRequest

PREFIX = "/api/v1"

USER, AGENT, EITHER = AllowedCaller.USER, AllowedCaller.AGENT, AllowedCaller.EITHER
ANYONE = AllowedCaller.ANYONE  # in an operation that identifies its caller otherwise

Handler: TypeAlias = Callable[..., Awaitable[Any]]
Dependency: TypeAlias = Callable[[RequestContext, Mapping[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class HandlerOptions:
    """What the decorators below say about a handler."""

    reads_only: bool = False
    is_news: Callable[[Any], bool] | None = None  # of the result of a request that may wait
    waits_for_network: bool = False
    receives_any_body: bool = False
    changes_decisions: bool = False
    count: Callable[[RequestContext], Awaitable[None]] | None = None
    success_status: int = 200
    error_statuses: Sequence[int] = ()
    stream_events: Mapping[str, TypeAdapter[Any]] = field(default_factory=dict)


def get_options(handler: Handler) -> HandlerOptions:
    """Return the options that a handler is marked with."""
    options: HandlerOptions = getattr(handler, "options", HandlerOptions())
    return options


def _mark(handler: Handler, **options: Any) -> Handler:
    vars(handler)["options"] = replace(get_options(handler), **options)
    return handler


def without_transaction(handler: Handler) -> Handler:
    """Mark a handler that waits for the network and must not hold a transaction while it runs.

    Its dependencies are loaded in a transaction that has ended. The handler opens its own with
    `context.transaction()`, before and after the network call.
    """
    return _mark(handler, waits_for_network=True)


def counts_first(
    count: Callable[[RequestContext], Awaitable[None]],
) -> Callable[[Handler], Handler]:
    """Mark a handler with what counts its requests before their transaction: a count may wait.

    `count` raises TooMany. It also counts a request that repeats its Idempotency-Key.
    """
    return partial(_mark, count=count)


def error_responses(*statuses: int) -> Callable[[Handler], Handler]:
    """Mark a handler with the error statuses of its rules, for the OpenAPI document."""
    return partial(_mark, error_statuses=statuses)


def changes_decisions(handler: Handler) -> Handler:
    """Mark a handler that decides an approval, or changes what is decided or who may decide.

    Tokens with the scope `no_decisions` may not call it.
    """
    return _mark(handler, changes_decisions=True)


def receives_any_body(success_status: int) -> Callable[[Handler], Handler]:
    """Mark a handler that reads a body of any type itself, and the status of its response."""
    return partial(_mark, receives_any_body=True, success_status=success_status)


def sends_events(models: Mapping[str, Any]) -> Callable[[Handler], Handler]:
    """Mark a handler that answers with a stream: the type of the data of each event, by name."""
    adapters = {name: TypeAdapter(model) for name, model in models.items()}
    return partial(_mark, stream_events=adapters)


def reads_only(handler: Handler) -> Handler:
    """Mark a handler that only reads, from `context.source`.

    It runs on a connection of the read pool, and in a transaction if its caller has to be stored
    first.
    """
    return _mark(handler, reads_only=True)


def waits_for_news(is_news: Callable[[Any], bool]) -> Callable[[Handler], Handler]:
    """Mark a handler that only reads, and whose query is a WaitQuery.

    The request of an agent waits as long as it allows until `is_news` of the response is true.
    """
    return partial(_mark, is_news=is_news)


def has_items(page: Encoded[Any]) -> bool:
    """Return whether a page of a list has an item."""
    return bool(page.value["items"])


EXISTENCE_CHECKS: Mapping[str, Callable[..., Awaitable[object]]] = {
    "task_id": tasks.get_task_detail,
    "approval_id": approvals.get_approval,
    "webhook_id": board_webhooks.get_webhook,
}
"""Functions that raise NotFound if an object in the path is not on the board."""


@dataclass(frozen=True)
class Operation:
    """A method and a path, its allowed callers, its dependency, and its handler.

    A handler is `async def f(context, board?, member?, agent?, query?, body?, <path parameters>)`.
    Parameters and response are read from its annotations, the description from its docstring.
    `dependency` loads what the handler works on: see api/framework/dependencies.py. Operations for
    agents are declared with the functions of api/framework/agent_operations.py.
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
        return RequestParser(self.path, self._annotations)

    @cached_property
    def response_type(self) -> TypeAdapter[Any] | None:
        """The type of the response; None if the handler returns a Response itself."""
        annotation = self._response_annotation
        if inspect.isclass(annotation) and issubclass(annotation, Response):
            return None
        return TypeAdapter(annotation)

    @property
    def _response_annotation(self) -> Any:
        """The type of the response: the return type of the handler, or the model in Encoded."""
        annotation = self._annotations["return"]
        return get_args(annotation)[0] if get_origin(annotation) is Encoded else annotation

    @property
    def options(self) -> HandlerOptions:
        """What its handler is marked with."""
        return get_options(self.handler)

    @property
    def accepts_idempotency_key(self) -> bool:
        """Whether the caller may repeat the request with an Idempotency-Key."""
        return self.method == "POST" and self.allowed_caller is not AllowedCaller.ANYONE

    @property
    def is_versioned(self) -> bool:
        """Whether the response has a version, and so an ETag."""
        return "version" in getattr(self._response_annotation, "model_fields", ())

    @property
    def supports_if_match(self) -> bool:
        """Whether the handler honours If-Match."""
        return 412 in self.options.error_statuses

    @property
    def refuses_if_match(self) -> bool:
        """Whether an If-Match of a caller is refused, because there is no version to compare."""
        is_change = self.method != "GET" and self.allowed_caller is not AllowedCaller.ANYONE
        return is_change and not self.supports_if_match

    @property
    def operation_id(self) -> str:
        """The id of this operation for API clients, as in the original."""
        path = "".join(c if c.isalnum() else "_" for c in f"{PREFIX}{self.path}")
        own_name = getattr(self.handler, "__name__")  # noqa: B009 - a Callable may have none
        name = OPERATION_NAMES.get((self.method, self.path), own_name)
        return self.id or f"{name}{path}_{self.method.lower()}"

    @property
    def summary(self) -> str:
        """The first line of the description."""
        return self.description.partition("\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        """The docstring of the handler, and which tokens may not call it."""
        text = inspect.getdoc(self.handler) or ""
        if self.options.changes_decisions:
            text += (
                "\n\nNot with a token of the scope `no_decisions`: 403 `token_scope_insufficient`."
            )
        return text

    async def handle(self, request: Request) -> Response:
        """Handle one request."""
        has_condition = self.refuses_if_match and "If-Match" in request.headers
        only_reads = self.options.reads_only
        if only_reads and IDEMPOTENCY_KEY_HEADER not in request.headers and not has_condition:
            response = await self._read(request)
            if response is None and self.options.is_news:
                await authenticate_request(request, self.allowed_caller)  # what has to be written
                response = await self._read(request)
            if response is not None:
                return response
        body = await read_json_body(request) if self.parser.body else None
        actor = await authenticate_request(request, self.allowed_caller)
        if has_condition and read_known_versions(request) is not None:
            raise PreconditionFailed(VERSION_UNSUPPORTED, "version_unsupported")
        return await self.respond(request, actor, body)

    async def respond(
        self, request: Request, actor: Actor | None, body: RequestBody | None
    ) -> Response:
        """Handle a request whose caller is authenticated."""
        if self.options.changes_decisions:
            require_decision_scope(request)
        path = self.parser.parse_path(request.path_params)
        context = RequestContext(None, self.allowed_caller, actor, request)
        idempotent_request = read_idempotent_request(request, actor, body)
        check_access = partial(self._load, context, path)
        if self.options.waits_for_network:
            return await run_idempotent_without_transaction(
                request,
                idempotent_request,
                lambda: self._run_without_transaction(context, path, body),
                check_access,
            )
        if self.options.count:
            await self.options.count(context)
        async with open_transaction(request) as session:
            transaction_context = replace(context, open_source=session)
            result = await run_idempotent(
                session,
                request,
                idempotent_request,
                lambda: self._run_in_transaction(
                    transaction_context, path, body, idempotent_request
                ),
                check_access,
            )
        if isinstance(result, Response):
            return result
        return await self._build_response(context, result)

    async def _read(self, request: Request) -> Response | None:
        """Handle a request on one read connection; None if something has to be written.

        The connection is returned before the response is serialized and sent.
        """
        found = await self._find(request)
        if found is not None and found.wait:
            found = await self._wait_for_news(request, found)
        return await self._build_response(found.context, found.result) if found else None

    async def _find(self, request: Request) -> "_Found | None":
        """Run a handler that only reads; None if something has to be written."""
        async with open_reader(request) as reader:
            actor = await authenticate_by_reading(reader, request, self.allowed_caller)
            if actor is None:
                return None
            path = self.parser.parse_path(request.path_params)
            context = RequestContext(reader, self.allowed_caller, actor, request)
            try:
                arguments = await self._load_arguments(context, path, None)
                result = await self.handler(context, **arguments)
            except WriteRequired:
                return None
        is_news = self.options.is_news
        wait = arguments["query"].wait if is_news and not is_news(result) else 0
        return _Found(context, result, wait)

    async def _wait_for_news(self, request: Request, found: "_Found") -> "_Found | None":
        """Read again after each notification, with the rights that the caller has then."""
        last: _Found | None = found
        async with wait_for_news(request, found.context.actor, found.wait) as wait:
            while last is not None and last.wait and await wait.next() is WaitEnd.NOTIFIED:
                last = await self._find(request)
        return last

    async def _run_in_transaction(
        self,
        context: RequestContext,
        path: Mapping[str, Any],
        body: RequestBody | None,
        idempotent_request: IdempotentRequest | None,
    ) -> Any:
        """Run the handler, and build its response if that is stored in the transaction.

        Others are built after the commit, for which other changes of the organization wait.
        """
        result = await self.handler(context, **await self._load_arguments(context, path, body))
        return await self._build_response(context, result) if idempotent_request else result

    async def _run_without_transaction(
        self, context: RequestContext, path: Mapping[str, Any], body: RequestBody | None
    ) -> Response:
        arguments = await self._load_in_transaction(context, path, body)
        return await self._build_response(context, await self.handler(context, **arguments))

    async def _load_in_transaction(
        self, context: RequestContext, path: Mapping[str, Any], body: RequestBody | None
    ) -> dict[str, Any]:
        """Load the arguments; a handler that waits keeps nothing of the transaction in memory."""
        async with context.transaction() as session:
            return await self._load_arguments(replace(context, open_source=session), path, body)

    async def _load(
        self, context: RequestContext, path: Mapping[str, Any], session: Session | None = None
    ) -> Mapping[str, Any]:
        context = replace(context, open_source=session) if session else context
        return await self.dependency(context, path) if self.dependency else {}

    async def _load_arguments(
        self, context: RequestContext, path: Mapping[str, Any], body: RequestBody | None
    ) -> dict[str, Any]:
        """Return the arguments of the handler: loaded objects and parsed values."""
        loaded = await self._load(context, path)
        try:
            values = await self.parser.parse_query_and_body(context.request.query_params, body)
        except (InvalidFields, Invalid):
            if "board" in loaded:  # a missing object of the board precedes errors of fields
                for name in self.parser.path.keys() & EXISTENCE_CHECKS.keys():
                    await EXISTENCE_CHECKS[name](context.source, loaded["board"], path[name])
            raise
        arguments = {**loaded, **path, **values}
        return {name: value for name, value in arguments.items() if name in self._annotations}

    async def _build_response(self, context: RequestContext, result: Any) -> Response:
        if self.response_type is None:
            return result
        if isinstance(result, Encoded):
            content = await result.encode()
        else:
            content = self.response_type.dump_json(result)
        response = Response(content, self.options.success_status, media_type="application/json")
        response.headers.update(getattr(result, "headers", {}))
        version = getattr(result, "version", None)
        return add_etag(context.request, response, version) if version is not None else response

    @cached_property
    def _annotations(self) -> dict[str, Any]:
        return get_type_hints(self.handler, include_extras=True)


class _Found(NamedTuple):
    """The result of a handler that only reads, and how many seconds to wait for another one."""

    context: RequestContext
    result: Any
    wait: int
