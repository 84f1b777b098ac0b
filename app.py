"""Build the ASGI application: pages, API, and the objects that requests share."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from sqlalchemy.ext.asyncio import async_sessionmaker
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp

import api.app
import api.hooks
import api.mcp
import api.metrics
import api.telemetry
import services.subscriptions  # noqa: F401 - sets the handlers of hooks
import web.pages
from core.cancellation import cancel_task
from core.config.settings import Settings
from core.db.engine import ReadPool, create_database_engine, report_pool_usage
from core.db.listen import PostgresListener
from core.http.caller import get_agent_token, get_bearer_token
from core.http.compression import CompressionMiddleware
from core.http.event_stream import end_event_streams
from core.http.incomplete_requests import IncompleteRequestMiddleware
from core.http.long_wait import SharedTransactions
from core.http.middleware import (
    CONTENT_SECURITY_POLICY,
    PROGRAM_PATHS,
    ApiCorsMiddleware,
    AuditMiddleware,
    ErrorMiddleware,
    RequestIdMiddleware,
    SecurityHeadersMiddleware,
)
from core.http.outbound import OutboundClient
from core.http.proxy_check import ProxyCheckMiddleware, find_proxy_problem
from core.http.request_log import RequestLogMiddleware
from core.http.request_slots import RequestSlotsMiddleware
from core.http.sub_path import PageAddressMiddleware, SubPathMiddleware
from core.http.unsent_bytes import UnsentBytesMiddleware
from core.limiters import QueueingLimiter, RateLimiter
from core.metrics import MetricsFolder
from core.security.encryption import SecretCipher
from core.security.openid import OpenIdProvider
from core.shared_limiters import (
    UPDATE_INTERVAL,
    SharedConcurrencyLimiter,
    SharedLimits,
    SharedRateLimiter,
    limit_manual_messages,
)
from services import (
    audit,
    events,
    gateways,
    identity,
    inbox,
    limit_shares,
    notifications,
    presence,
    secret_keys,
    sidebar,
    skills,
    streams,
    task_pages,
)
from services.channels import ChannelSender
from services.last_seen import FLUSH_INTERVAL, LastSeenBuffer
from services.readiness import ReadinessChecker
from services.system_status import SystemStatusReader
from web.auth.viewer import read_session_secret
from web.notifications.messages import MessageRenderer
from web.ui.assets import STATIC, CachedStaticFiles
from web.ui.render import compile_templates

log = logging.getLogger("mission_control")

MAX_EXPORTS = 120  # of telemetry of an agent in a minute
MAX_STORED_REJECTIONS = 10  # of one webhook in a minute
MAX_WAITS_OF_PROCESS = 1_000  # requests of agents that wait


@dataclass(frozen=True)
class RateLimits:
    """The rate limiters of the application, each with its own keys."""

    requests: SharedRateLimiter  # by caller
    pages: SharedRateLimiter  # by browser session; a page requests each of its parts
    provider_sign_ins: SharedRateLimiter  # by browser: sign-ins that are started at the provider
    telemetry: SharedRateLimiter  # by agent: exports of its client
    webhooks: SharedRateLimiter  # by address: requests to webhooks that were rejected
    webhook_rejections: SharedRateLimiter  # by webhook: rejections that are stored
    gateway_calls: SharedRateLimiter  # by organization and by user: calls on their behalf
    gateway_calls_by_address: SharedRateLimiter  # by address, for all its users together
    channel_messages: SharedRateLimiter  # by user: what a user sends on channels by hand
    webhook_messages: SharedRateLimiter  # by organization: what admins send to webhooks by hand

    @classmethod
    def from_settings(cls, settings: Settings, shared: SharedLimits) -> "RateLimits":
        """Create the rate limiters from the settings."""
        seconds = settings.rate_limit_requests_seconds
        by_settings = {
            "requests": settings.rate_limit_requests,
            "pages": settings.rate_limit_pages,
            "webhooks": settings.rate_limit_webhooks,
            "gateway_calls": settings.rate_limit_gateways,
            "gateway_calls_by_address": 10 * settings.rate_limit_gateways,
        }
        return cls(
            provider_sign_ins=SharedRateLimiter(
                shared,
                "provider_sign_ins",
                20 * settings.rate_limit_sign_in,
                settings.rate_limit_sign_in_seconds,
            ),
            telemetry=SharedRateLimiter(shared, "telemetry", MAX_EXPORTS, 60.0),
            webhook_rejections=SharedRateLimiter(
                shared, "webhook_rejections", MAX_STORED_REJECTIONS, 60.0, refuses=False
            ),
            channel_messages=limit_manual_messages(shared, "channel_messages", 20),
            webhook_messages=limit_manual_messages(shared, "webhook_messages", 40),
            **{
                name: SharedRateLimiter(shared, name, max_hits, seconds)
                for name, max_hits in by_settings.items()
            },
        )


def build_app(settings: Settings) -> Starlette:
    """Build the application; connections are opened when its lifespan starts."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[dict[str, Any], None]:
        if problem := find_proxy_problem(settings):
            log.warning(problem)
        async with AsyncExitStack() as closing:  # what was opened last is closed first
            engine = create_database_engine(settings)
            closing.push_async_callback(engine.dispose)
            transaction_factory = async_sessionmaker(engine, expire_on_commit=False).begin
            limit_engine = create_database_engine(settings, size=1)
            closing.push_async_callback(limit_engine.dispose)
            shared_limits = SharedLimits(
                limit_shares.LimitShareTable(async_sessionmaker(limit_engine).begin),
                interval=UPDATE_INTERVAL,
            )
            closing.push_async_callback(shared_limits.close)
            read_pool = ReadPool(settings.dsn, settings.db_pool_size, is_pooled=settings.is_pooled)
            closing.push_async_callback(read_pool.close)
            # Without the database streams are silent; another process may reach it.
            listener = PostgresListener(on_outage=end_event_streams)
            event_feed = events.EventFeed(transaction_factory, listener)
            last_seen = LastSeenBuffer(transaction_factory, interval=FLUSH_INTERVAL)
            state = build_state(
                settings,
                transaction_factory,
                listener,
                event_feed,
                read_pool,
                shared_limits,
                last_seen,
            )
            name = secret_keys.build_application_name(state["secret_cipher"])
            listening = asyncio.create_task(listener.listen(settings.direct_dsn, name))
            closing.push_async_callback(cancel_task, listening)
            if state["provider"] is not None:
                closing.push_async_callback(state["provider"].close)
            closing.push_async_callback(state["board_visits"].close)
            closing.push_async_callback(event_feed.close)
            closing.push_async_callback(last_seen.close)
            report_pool_usage(engine)
            read_pool.report_usage()
            await closing.enter_async_context(_compile_beside_requests())
            state["mcp_server"] = await closing.enter_async_context(api.mcp.run_server())
            await closing.enter_async_context(state["metrics_folder"].share())
            try:
                yield state
            except GeneratorExit:  # the server was forced to stop: there is no time to close
                closing.pop_all()
                raise

    return Starlette(
        routes=[
            *api.app.root_routes,
            Mount("/api/v1", api.app.app),
            Mount("/hooks", api.hooks.app),
            api.mcp.route,
            api.metrics.route,
            Mount("/otlp", api.telemetry.app),
            Mount("/static", CachedStaticFiles(directory=STATIC), name="static"),
            web.pages.pages,
        ],
        middleware=build_middleware(settings),
        exception_handlers={HTTPException: handle_unrouted_request},
        lifespan=lifespan,
    )


@asynccontextmanager
async def _compile_beside_requests() -> AsyncGenerator[None]:
    stopping = threading.Event()
    compiling = asyncio.create_task(asyncio.to_thread(compile_in_advance, stopping))
    try:
        yield
    finally:
        stopping.set()
        await compiling


def compile_in_advance(stopping: threading.Event) -> None:
    """Compile what would hold the event loop in the first requests of the process, in a thread."""
    for module in (inbox, sidebar, task_pages):
        module.compile_statements()
    compile_templates(stopping)


def build_state(
    settings: Settings,
    transaction_factory: Any,
    listener: PostgresListener,
    event_feed: Any,
    read_pool: Any,
    shared_limits: SharedLimits,
    last_seen: LastSeenBuffer,
) -> dict[str, Any]:
    """Return the content of `request.state`."""
    secret_cipher = SecretCipher(settings)
    return {
        "settings": settings,
        "provider": OpenIdProvider(settings) if settings.oidc_issuer else None,
        "transaction_factory": transaction_factory,
        "read_pool": read_pool,
        "last_seen": last_seen,
        "postgres_listener": listener,
        "event_feed": event_feed,
        "rate_limits": RateLimits.from_settings(settings, shared_limits),
        # to the webhooks of one board: 2 are stored at the same time, and 128 MB wait
        "webhook_deliveries": QueueingLimiter(2, 128_000_000),
        "open_streams": SharedConcurrencyLimiter(
            shared_limits, "streams", "Too many open event streams."
        ),
        "hook_contacts": RateLimiter(1, 30.0),  # by agent and client: what is recorded of them
        "long_waits": SharedConcurrencyLimiter(
            shared_limits,
            "waits",
            "Too many requests of agents wait already.",
            max_of_process=MAX_WAITS_OF_PROCESS,
        ),
        "shared_transactions": SharedTransactions(transaction_factory),
        "stream_rights": streams.StreamRights(transaction_factory, listener),
        "notification_streams": notifications.NotificationStreams(listener),
        "board_visits": presence.BoardVisits(transaction_factory, listener),
        "credential_verifier": identity.CredentialVerifier(settings, transaction_factory),
        "secret_cipher": secret_cipher,
        "readiness": ReadinessChecker(transaction_factory, listener, settings, secret_cipher),
        "metrics_folder": MetricsFolder(settings.data_dir),
        "system_status": SystemStatusReader(read_pool.acquire),
        "channel_sender": ChannelSender(settings, secret_cipher),
        "outbound_client": OutboundClient.from_settings(settings),
        "archive_client": skills.create_download_client(settings),
        "message_renderer": MessageRenderer(settings.base_url),
        "gateway_connector": gateways.GatewayConnector.from_settings(settings, secret_cipher),
    }


def build_middleware(settings: Settings) -> list[Middleware]:
    """Return the middleware, outermost first."""
    headers = {
        "X-Content-Type-Options": settings.security_header_x_content_type_options,
        "X-Frame-Options": settings.security_header_x_frame_options,
        "Referrer-Policy": settings.security_header_referrer_policy,
        "Permissions-Policy": settings.security_header_permissions_policy,
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    cors = Middleware(
        ApiCorsMiddleware,
        allow_origins=settings.cors_origins,
        allow_credentials=True,
        allow_methods=["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"],
        allow_headers=["*"],
        expose_headers=[
            *("ETag", "Idempotency-Replayed", "Retry-After", "X-Request-Id"),
            *("X-Total-Count", "X-Limit", "X-Offset"),
        ],
    )
    sub_path = settings.sub_path

    async def refuse(request: Request, error: Exception) -> ASGIApp:
        response = await handle_unexpected_error(request, error)
        return PageAddressMiddleware(response, sub_path) if sub_path else response

    return [
        Middleware(RequestIdMiddleware),
        *([Middleware(SubPathMiddleware, sub_path)] if sub_path else []),
        Middleware(ProxyCheckMiddleware),
        Middleware(SecurityHeadersMiddleware, headers=headers),
        Middleware(
            RequestLogMiddleware,
            slow_ms=settings.request_log_slow_ms,
            include_probes=settings.request_log_include_health,
        ),
        *([cors] if settings.cors_origins else []),
        Middleware(UnsentBytesMiddleware, refuse=refuse),
        Middleware(CompressionMiddleware),
        *([Middleware(PageAddressMiddleware, sub_path)] if sub_path else []),
        Middleware(AuditMiddleware, record_rejection=audit.record_rejected_request),
        Middleware(IncompleteRequestMiddleware),
        Middleware(ErrorMiddleware, handler=handle_unexpected_error),
        Middleware(RequestSlotsMiddleware, find_credentials=find_credentials),
    ]


def find_credentials(connection: HTTPConnection) -> list[str]:
    """Return the tokens and the session of a request, without verifying them.

    Static files are the same for everybody and need no database.
    """
    if connection.scope["path"].startswith("/static/"):
        return []
    tokens = get_bearer_token(connection), get_agent_token(connection)
    return [*tokens, read_session_secret(connection)]


async def handle_unexpected_error(request: Request, error: Exception) -> Response:
    """Respond as a page or as JSON, depending on the path, to an error outside of both."""
    return await _interface_module(request).handle_server_error(request, error)


async def handle_unrouted_request(request: Request, error: Exception) -> Response:
    """Respond to a path that matches no mount, such as one with a line break."""
    return await _interface_module(request).handle_unknown_address(request, error)


def _interface_module(request: Request) -> ModuleType:
    return api.app if request.url.path.startswith(PROGRAM_PATHS) else web.pages
