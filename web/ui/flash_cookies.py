"""What a form shows once, on the page to which it redirects: a notice, or a new secret.

A notice says what has happened, as a toast: "Deleted “Launch”". A form that answered with a secret
itself would create another one whenever the page is reloaded.

Both wait in a cookie for the next page of the same session. The cookie is encrypted, so nobody else
can write one; a secret can be read only by the page to which the form redirects.
"""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.security.encryption import DecryptionError, SecretCipher
from web.auth.viewer import read_cookie, write_cookie
from web.ui.translation import _

NOTICE_COOKIE = "mission_control_notice"
SECRET_COOKIE = "mission_control_once"  # noqa: S105 - the name of a cookie


def redirect_with_notice(request: Request, path: str, text: str) -> Response:
    """Redirect to a page that shows a text once."""
    return _redirect(request, path, NOTICE_COOKIE, text, _build_notice_context(request))


def redirect_deleted(request: Request, path: str, name: str) -> Response:
    """Redirect to a list, which says once that the object of this name was deleted."""
    return redirect_with_notice(request, path, _("Deleted “%(title)s”", title=name))


def read_notice(request: Request) -> str:
    """Return the text that this page shows once, or "". Parts of pages show none."""
    if "HX-Request" in request.headers or not request.scope.get("auth"):
        return ""
    return _read(request, NOTICE_COOKIE, _build_notice_context(request))


def forget_notice(request: Request, response: Response) -> Response:
    """Delete the text after it was shown, and keep the page that shows it out of caches."""
    return _forget(request, response, NOTICE_COOKIE)


def _build_notice_context(request: Request) -> str:
    """Return the context that ties a text to the session."""
    return f"notice:{request.auth.sign_in.id}"


def redirect_with_secret(request: Request, path: str, secret: str) -> Response:
    """Redirect to a page that shows a secret once."""
    return _redirect(request, path, SECRET_COOKIE, secret, _build_secret_context(request, path))


def read_secret(request: Request) -> str | None:
    """Return the secret that this page shows once, or None."""
    context = _build_secret_context(request, request.url.path)
    return _read(request, SECRET_COOKIE, context) or None


def forget_secret(request: Request, response: Response) -> Response:
    """Delete the secret after it was shown, and keep the page that shows it out of caches."""
    if read_cookie(request, SECRET_COOKIE):
        _forget(request, response, SECRET_COOKIE)
    return response


def _build_secret_context(request: Request, path: str) -> str:
    """Return the context that ties a secret to the session and to the page that shows it."""
    page = path.partition("#")[0].partition("?")[0]
    return f"one time secret:{request.auth.sign_in.id}:{page}"


def _redirect(request: Request, path: str, cookie: str, text: str, context: str) -> Response:
    cipher: SecretCipher = request.state.secret_cipher
    value = cipher.encrypt(text, context)
    response = RedirectResponse(path, 303)
    return write_cookie(request, response, cookie, value, max_age=60)  # seconds


def _read(request: Request, cookie: str, context: str) -> str:
    cipher: SecretCipher = request.state.secret_cipher
    try:
        encrypted = read_cookie(request, cookie)
        return cipher.decrypt(encrypted, context).decode() if encrypted else ""
    except DecryptionError:
        return ""


def _forget(request: Request, response: Response, cookie: str) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return write_cookie(request, response, cookie, "", max_age=0)
