"""Show a new secret once, on the page that a form redirects to.

A form that answered with the secret itself would create another one whenever the page is reloaded.
The secret waits encrypted in a cookie that only the next page of the same session can read.
"""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.security.encryption import DecryptionError, SecretCipher
from web.auth.viewer import read_cookie, write_cookie
from web.ui.render import forbid_storage

SECRET_COOKIE = "mission_control_once"  # noqa: S105 - the name of a cookie
SECRET_COOKIE_MAX_AGE = 60  # seconds


def redirect_with_secret(request: Request, path: str, secret: str) -> Response:
    """Redirect to a page that shows a secret once."""
    response = RedirectResponse(path, 303)
    encrypted = _cipher(request).encrypt(secret, _context(request, path))
    return write_cookie(request, response, SECRET_COOKIE, encrypted, max_age=SECRET_COOKIE_MAX_AGE)


def read_secret(request: Request) -> str | None:
    """Return the secret that this page shows once, or None."""
    encrypted = read_cookie(request, SECRET_COOKIE)
    if not encrypted:
        return None
    try:
        return _cipher(request).decrypt(encrypted, _context(request, request.url.path)).decode()
    except DecryptionError:
        return None


def forget_secret(request: Request, response: Response) -> Response:
    """Delete the secret after it was shown, and keep the page that shows it out of caches."""
    if read_cookie(request, SECRET_COOKIE):
        write_cookie(request, response, SECRET_COOKIE, "", max_age=0)
        forbid_storage(response)
    return response


def _context(request: Request, path: str) -> str:
    """Return the context that ties a secret to the session and to the page that shows it."""
    page = path.partition("#")[0].partition("?")[0]
    return f"one time secret:{request.auth.sign_in.id}:{page}"


def _cipher(request: Request) -> SecretCipher:
    cipher: SecretCipher = request.state.secret_cipher
    return cipher
