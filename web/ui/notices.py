"""Say on the page that a form redirects to what has happened: "Deleted “Launch”", as a toast.

The text waits in a cookie for the next page of the same session. It is encrypted, so that nobody
else can write one.
"""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.security.encryption import DecryptionError, SecretCipher
from web.auth.viewer import read_cookie, write_cookie
from web.ui.translation import _

NOTICE_COOKIE = "mission_control_notice"
NOTICE_COOKIE_MAX_AGE = 60  # seconds


def redirect_with_notice(request: Request, path: str, text: str) -> Response:
    """Redirect to a page that shows a text once."""
    encrypted = _cipher(request).encrypt(text, _context(request))
    response = RedirectResponse(path, 303)
    return write_cookie(request, response, NOTICE_COOKIE, encrypted, max_age=NOTICE_COOKIE_MAX_AGE)


def redirect_deleted(request: Request, path: str, name: str) -> Response:
    """Redirect to a list, which says once that the object of this name was deleted."""
    return redirect_with_notice(request, path, _("Deleted “%(title)s”", title=name))


def read_notice(request: Request) -> str:
    """Return the text that this page shows once, or "". Parts of pages show none."""
    if "HX-Request" in request.headers or not request.scope.get("auth"):
        return ""
    encrypted = read_cookie(request, NOTICE_COOKIE)
    if not encrypted:
        return ""
    try:
        return _cipher(request).decrypt(encrypted, _context(request)).decode()
    except DecryptionError:
        return ""


def forget_notice(request: Request, response: Response) -> Response:
    """Delete the text after it was shown, and keep the page that shows it out of caches."""
    response.headers["Cache-Control"] = "no-store"
    return write_cookie(request, response, NOTICE_COOKIE, "", max_age=0)


def _context(request: Request) -> str:
    """Return the context that ties a text to the session."""
    return f"notice:{request.auth.sign_in.id}"


def _cipher(request: Request) -> SecretCipher:
    cipher: SecretCipher = request.state.secret_cipher
    return cipher
