"""A fake OpenID Connect provider that runs in the test and can be made to misbehave.

tests/oidc/test_provider.py runs the same tests against it and a real provider, so that it stays
realistic.
"""

import base64
import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import RSAKey

ISSUER = "https://id.example.com"
CLIENT_ID, CLIENT_SECRET = "mission-control", "a secret: +/% and more"
PERSON = {"email": "nora@example.com", "email_verified": True, "name": "Nora Novak"}

Claims = dict[str, Any]
_KEYS = [RSAKey.generate_key(2048, auto_kid=True) for _ in range(2)]  # which takes a while


class FakeProvider:
    """Responds like a provider. `people` are its accounts: the claims by subject."""

    def __init__(self, issuer: str = ISSUER) -> None:
        self.issuer = issuer
        self.people: dict[str, Claims] = {"nora": dict(PERSON)}
        self.key = _KEYS[0]
        self.metadata: Claims = {}  # what it publishes instead of the truth
        self.keys: list[dict[str, Any]] | None = None
        self.is_down = False
        self.signed_in_at: int | None = None  # when its user signed in; None: now
        self.ignores_max_age = False
        self.reports_auth_time = True
        self.asked: Counter[str] = Counter()
        self.sign: Callable[[Claims], str] = self.token
        self.override_userinfo: Callable[[Claims], Claims] = lambda claims: claims  # by userinfo
        self._codes: dict[str, dict[str, str]] = {}
        self._access: dict[str, str] = {}

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self.respond)

    def rotate(self) -> None:
        """Sign with another key from now on, and publish only that one."""
        self.key = _KEYS[1]

    def token(self, claims: Claims, key: Any = None, **header: Any) -> str:
        """Sign a token."""
        key = key or self.key
        return jwt.encode({"alg": "RS256", "kid": key.kid, **header}, claims, key)

    def claims(self, subject: str, **more: Any) -> Claims:
        """Return the claims of a token issued now for our client."""
        at = int(time.time())
        about = {"iss": self.issuer, "sub": subject, "aud": CLIENT_ID, "iat": at, "exp": at + 60}
        return about | more

    def sign_in(self, address: str, subject: str = "nora") -> str:
        """Sign a user in after the redirect to `address`, and return the redirect back."""
        asked = dict(parse_qsl(urlsplit(address).query))
        assert address.startswith(f"{self.issuer}/authorize?")
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT_ID)
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe()
        self._codes[code] = asked | {"sub": subject}
        back = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
        return f"{asked['redirect_uri']}?{back}"

    def respond(self, request: httpx2.Request) -> httpx2.Response:
        """Respond to a request of our client."""
        path = request.url.path
        self.asked[path] += 1
        if self.is_down:
            raise httpx2.ConnectError("nobody is at home", request=request)
        responses = {
            "/.well-known/openid-configuration": self._discover,
            "/keys": self._publish,
            "/token": self._exchange,
            "/me": self._userinfo,
        }
        return responses[path](request)

    def _discover(self, _request: httpx2.Request) -> httpx2.Response:
        published = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/me",
            "jwks_uri": f"{self.issuer}/keys",
            "authorization_response_iss_parameter_supported": True,
        }
        return httpx2.Response(200, json=published | self.metadata)

    def _publish(self, _request: httpx2.Request) -> httpx2.Response:
        keys = [self.key.as_dict(private=False)] if self.keys is None else self.keys
        return httpx2.Response(200, json={"keys": keys})

    def _exchange(self, request: httpx2.Request) -> httpx2.Response:
        kind, _, reported = request.headers.get("Authorization", "").partition(" ")
        name, _, secret = base64.b64decode(reported).decode().partition(":")
        if (kind, unquote_plus(name), unquote_plus(secret)) != ("Basic", CLIENT_ID, CLIENT_SECRET):
            return httpx2.Response(401, json={"error": "invalid_client"})
        given = {name: value[0] for name, value in parse_qs(request.content.decode()).items()}
        asked = self._codes.pop(given.get("code", ""), None)
        if asked is None or not _matches_challenge(given, asked):
            return httpx2.Response(400, json={"error": "invalid_grant"})
        access = secrets.token_urlsafe()
        self._access[access] = asked["sub"]
        half = hashlib.sha256(access.encode()).digest()[:16]
        at_hash = base64.urlsafe_b64encode(half).decode().rstrip("=")
        more = self._auth_time(asked) | {"nonce": asked["nonce"], "at_hash": at_hash}
        claims = self.claims(asked["sub"], **more)
        tokens = {"access_token": access, "token_type": "Bearer", "id_token": self.sign(claims)}
        return httpx2.Response(200, json=tokens)

    def _auth_time(self, asked: dict[str, str]) -> Claims:
        """Return when the user signed in, which is now if our client wants it so."""
        must_ask = (asked.get("prompt"), asked.get("max_age")) == ("login", "0")
        is_new = self.signed_in_at is None or (must_ask and not self.ignores_max_age)
        auth_time = int(time.time()) if is_new else self.signed_in_at
        return {"auth_time": auth_time} if self.reports_auth_time else {}

    def _userinfo(self, request: httpx2.Request) -> httpx2.Response:
        subject = self._access.get(request.headers["Authorization"].removeprefix("Bearer "))
        if subject is None:
            return httpx2.Response(401, json={"error": "invalid_token"})
        return httpx2.Response(
            200, json=self.override_userinfo({"sub": subject, **self.people[subject]})
        )


def _matches_challenge(given: dict[str, str], asked: dict[str, str]) -> bool:
    """Return whether the verifier of a code fits its PKCE challenge."""
    digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    is_same = given.get("redirect_uri") == asked["redirect_uri"]
    is_code = given.get("grant_type") == "authorization_code"
    return is_same and is_code and challenge == asked["code_challenge"]
