"""All pages, with their access checks, the language of their reader, and error handlers."""

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Mount

from core.errors import AppError, RecentSignInRequired
from core.http.middleware import RequireCallerMiddleware
from web.auth import viewer
from web.auth.kept_forms import (
    RestoredFormMiddleware,
    redirect_to_sign_in,
    redirect_to_sign_in_again,
)
from web.auth.viewer import SameOriginMiddleware
from web.routes import MEMBER_ROUTES, PUBLIC_ROUTES, SIGNED_IN_ROUTES
from web.ui.form_origin import FormOriginMiddleware
from web.ui.locale_middleware import LocaleMiddleware, UserLocaleMiddleware
from web.ui.render import handle_app_error, handle_server_error, handle_unknown_address
from web.ui.submit_once import SubmitOnceMiddleware

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
                Middleware(FormOriginMiddleware),
                Middleware(RestoredFormMiddleware),
                Middleware(SubmitOnceMiddleware),
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
