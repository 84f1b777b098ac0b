"""Mission Control as one ASGI app: both faces, and what they share while the process lives."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from sqlalchemy.ext.asyncio import async_sessionmaker
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

import api.app
import web.app
from kit.database import open_pool
from kit.doorbell import Doorbell
from kit.last_resort import LastResort
from kit.limits import Limit
from kit.log import RequestLog
from kit.openid import Provider
from kit.request_id import RequestId
from kit.sealing import Seal
from kit.security_headers import CONTENT_SECURITY_POLICY, SecurityHeaders
from kit.settings import Settings
from services import events, gateways
from web.assets import STATIC, Assets

METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
EXPOSED = ["ETag", "Idempotency-Replayed", "X-Total-Count", "X-Limit", "X-Offset"]


@dataclass(frozen=True)
class Limits:
    """How often callers may come, each limit with keys of its own."""

    failures: Limit  # by address: tokens that nobody has
    floods: Limit  # by address: the same, where it costs little to see that nobody has them
    requests: Limit  # by caller
    pages: Limit  # by session of a browser, which asks for every part of a page by itself
    sign_ins: Limit  # by address and e-mail together, so that nobody locks somebody else out
    crowds: Limit  # by address: the same, whoever they say that they are
    gateways: Limit  # by organization: visits to gateways that somebody asked for

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Make the limits that are set."""
        return cls(
            Limit(settings.rate_limit_failed_auth, settings.rate_limit_failed_auth_seconds),
            Limit(50 * settings.rate_limit_failed_auth, settings.rate_limit_failed_auth_seconds),
            Limit(settings.rate_limit_requests, settings.rate_limit_requests_seconds),
            Limit(settings.rate_limit_pages, settings.rate_limit_requests_seconds),
            Limit(settings.rate_limit_sign_in, settings.rate_limit_sign_in_seconds),
            Limit(20 * settings.rate_limit_sign_in, settings.rate_limit_sign_in_seconds),
            Limit(settings.rate_limit_gateways, settings.rate_limit_requests_seconds),
        )


def build(settings: Settings) -> Starlette:
    """Build the app. Nothing is opened before its lifespan starts."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[dict[str, Any], None]:
        engine = open_pool(settings)
        transaction = async_sessionmaker(engine, expire_on_commit=False).begin
        doorbell = Doorbell()
        listening = asyncio.create_task(doorbell.listen(settings.dsn))
        feed = events.Feed(transaction, doorbell)
        state = state_of(settings, transaction, doorbell, feed)
        yield state
        await feed.close()
        if state["provider"] is not None:
            await state["provider"].close()
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await engine.dispose()

    return Starlette(
        routes=[
            *api.app.root_routes,
            Mount("/api/v1", api.app.app),
            Mount("/static", Assets(directory=STATIC), name="static"),
            web.app.pages,
        ],
        middleware=middleware_for(settings),
        exception_handlers={HTTPException: no_way},
        lifespan=lifespan,
    )


def state_of(settings: Settings, transaction: Any, doorbell: Doorbell, feed: Any) -> dict[str, Any]:
    """Return what every request finds in `request.state`."""
    seal = Seal(settings)
    return {
        "settings": settings,
        "provider": Provider(settings) if settings.oidc_issuer else None,
        "transaction": transaction,
        "doorbell": doorbell,
        "feed": feed,
        "limits": Limits.of(settings),
        "seal": seal,
        "carrier": gateways.Carrier.of(settings, seal),
    }


def middleware_for(settings: Settings) -> list[Middleware]:
    """Return what every request passes through, from the outside in."""
    headers = {
        "X-Content-Type-Options": settings.security_header_x_content_type_options,
        "X-Frame-Options": settings.security_header_x_frame_options,
        "Referrer-Policy": settings.security_header_referrer_policy,
        "Permissions-Policy": settings.security_header_permissions_policy,
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    }
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_credentials=True,
        allow_methods=METHODS,
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )
    return [
        Middleware(RequestId),
        Middleware(SecurityHeaders, headers=headers),
        Middleware(
            RequestLog,
            slow_ms=settings.request_log_slow_ms,
            include_probes=settings.request_log_include_health,
        ),
        *([cors] if settings.cors_origins else []),
        Middleware(LastResort, answer=last_word),
    ]


async def last_word(request: Request, error: Exception) -> Response:
    """Answer what has failed, each face in its own way."""
    return await _face(request).failed(request, error)


async def no_way(request: Request, error: Exception) -> Response:
    """Answer what leads to neither face, as an address with a line break in it."""
    return await _face(request).no_route(request, error)


def _face(request: Request) -> ModuleType:
    return api.app if request.url.path.startswith("/api/") else web.app
