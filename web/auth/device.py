"""The cookie of a browser in which a user has signed in with a password before.

Failed attempts of other browsers do not delay this one: see docs/decisions/rate-limits.md. The
cookie gives no access. It contains the e-mail address, encrypted.
"""

from starlette.requests import Request
from starlette.responses import Response

from core.http.request import get_settings
from core.security.encryption import DecryptionError, SecretCipher
from core.security.secrets import hash_token

DEVICE_COOKIE = "mission_control_device"
DEVICE_COOKIE_PATH = "/sign-in"
DEVICE_COOKIE_MAX_AGE = 365 * 24 * 3600  # seconds
CONTEXT = "device cookie"


def find_device(request: Request, email: str) -> str:
    """Return the id of the browser if the user has signed in there before, or ""."""
    cookie = request.cookies.get(DEVICE_COOKIE, "")
    cipher: SecretCipher = request.state.secret_cipher
    try:
        is_known = bool(cookie) and cipher.decrypt(cookie, CONTEXT) == email.encode()
    except DecryptionError:
        return ""
    return hash_token(cookie) if is_known else ""


def remember_device(request: Request, response: Response, email: str) -> Response:
    """Set the cookie after a sign-in with a password, unless the browser has it."""
    if find_device(request, email):
        return response
    cipher: SecretCipher = request.state.secret_cipher
    response.set_cookie(
        DEVICE_COOKIE,
        cipher.encrypt(email, CONTEXT),
        max_age=DEVICE_COOKIE_MAX_AGE,
        path=DEVICE_COOKIE_PATH,
        httponly=True,
        samesite="lax",
        secure=get_settings(request).base_url.startswith("https://"),
    )
    return response
