"""All pages, with their access checks, the language of their reader, and error handlers."""

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Mount

from core.errors import AppError, RecentSignInRequired
from core.http.middleware import RequireCallerMiddleware
from web.auth import viewer
from web.auth.viewer import SameOriginMiddleware
from web.routes import MEMBER_ROUTES, PUBLIC_ROUTES, SIGNED_IN_ROUTES
from web.ui.locale_middleware import LocaleMiddleware, UserLocaleMiddleware
from web.ui.posted_forms import (
    PostedFormMiddleware,
    redirect_to_sign_in,
    redirect_to_sign_in_again,
)
from web.ui.render import environment, handle_app_error, handle_server_error, handle_unknown_address

__all__ = ["handle_server_error", "handle_unknown_address", "pages"]

signed_in_middleware = Middleware(
    RequireCallerMiddleware,
    identify=viewer.rate_limited_viewer,
    otherwise=redirect_to_sign_in,
    routes=(*SIGNED_IN_ROUTES, *MEMBER_ROUTES),
)
member_middleware = Middleware(viewer.RequireMemberMiddleware)

pages = Mount(
    "/",
    routes=[
        *PUBLIC_ROUTES,
        Mount(
            "/",
            routes=[
                *SIGNED_IN_ROUTES,
                Mount("/", routes=MEMBER_ROUTES, middleware=[member_middleware]),
            ],
            middleware=[
                signed_in_middleware,
                Middleware(UserLocaleMiddleware),
                Middleware(PostedFormMiddleware, environment),
                Middleware(viewer.UpgradeCookieMiddleware),
            ],
        ),
    ],
    middleware=[
        Middleware(LocaleMiddleware),
        Middleware(SameOriginMiddleware),
        Middleware(
            ExceptionMiddleware,
            handlers={
                AppError: handle_app_error,
                RecentSignInRequired: redirect_to_sign_in_again,
                HTTPException: handle_unknown_address,
            },
        ),
    ],
)
