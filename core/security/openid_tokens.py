"""Verify tokens signed by an OpenID provider. All functions are pure.

No claim is used before the signature is verified with a published key of the provider and an
algorithm of KEY_TYPES. Algorithms with a shared secret are excluded, because a public key could be
used as the secret.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

from authlib.oauth2.claims import ClaimsOption
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError, UnsupportedAlgorithmError
from joserfc.jwk import JWKRegistry, Key
from joserfc.jws import JWSRegistry, extract_compact
from joserfc.registry import Header

Claims: TypeAlias = Mapping[str, Any]

KEY_TYPES = {
    **{f"{family}{bits}": "RSA" for family in ("RS", "PS") for bits in (256, 384, 512)},
    **{f"ES{bits}": "EC" for bits in (256, 384, 512)},
    "EdDSA": "OKP",
    "Ed25519": "OKP",
}
"""The accepted algorithms with their key types."""

BEARER_TYPES = {"jwt", "at+jwt"}
JWT_PATTERN = re.compile(r"ey[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


class InvalidTokenError(Exception):
    """The token is invalid. The text is the reason, for the log."""


class UnknownKeyError(InvalidTokenError):
    """The signing key is unknown; the provider may have rotated its keys."""


class StaleAuthenticationError(InvalidTokenError):
    """The user did not authenticate again, or the provider does not report when."""


class _AllowedAlgorithms(JWSRegistry):
    """Accept only the algorithms of KEY_TYPES, and any header names."""

    def __init__(self) -> None:
        super().__init__(algorithms=list(KEY_TYPES), strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        """Return an algorithm without the library's warning about the renamed EdDSA."""
        if name not in KEY_TYPES:
            raise UnsupportedAlgorithmError(f"Algorithm of '{name}' is not allowed")
        return self.algorithms[name]


REGISTRY = _AllowedAlgorithms()


def looks_like_jwt(text: str) -> bool:
    """Return whether a text has the form of a JWT; our own tokens never have it."""
    return JWT_PATTERN.fullmatch(text) is not None


def parse_keys(published: Mapping[str, Any]) -> list[Key]:
    """Return the published signing keys; unknown key types are ignored."""
    listed = published.get("keys")
    if not isinstance(listed, list):
        raise ValueError("has no list of keys")
    found = [_parse_key(one) for one in listed[:50] if isinstance(one, dict)]
    return [key for key in found if key is not None]


def verify_signature(token: str, keys: Sequence[Key]) -> jwt.Token:
    """Verify and decode a token. Raises InvalidTokenError, or its subclass UnknownKeyError."""
    try:
        header = extract_compact(token.encode()).headers()
        REGISTRY.check_header(header)
        REGISTRY.get_alg(header["alg"])
        return jwt.decode(token, _select_key(header, keys), registry=REGISTRY)
    except InvalidKeyIdError as error:
        raise UnknownKeyError(str(error)) from None
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise InvalidTokenError(str(error)) from None


def check_bearer(
    token: jwt.Token, *, issuer: str, accepted: Collection[str], leeway: float, at: float
) -> Claims:
    """Return the claims of a bearer token. Raises InvalidTokenError.

    One of `accepted` must be the audience in `aud` or, as some providers do, in `azp`.
    """
    kind = str(token.header.get("typ", "JWT")).lower().removeprefix("application/")
    if kind not in BEARER_TYPES or "events" in token.claims:
        raise InvalidTokenError("the token has another type")
    rules = jwt.JWTClaimsRegistry(
        now=int(at),
        leeway=int(leeway),
        iss={"essential": True, "value": issuer},
        sub={"essential": True},
        exp={"essential": True},
    )
    try:
        rules.validate(token.claims)
    except JoseError as error:
        raise InvalidTokenError(str(error)) from None
    audience = token.claims.get("aud", [])
    named = [audience] if isinstance(audience, str) else [*audience]
    if not any(name in accepted for name in [*named, token.claims.get("azp")]):
        raise InvalidTokenError("the token has another audience")
    if token.claims["sub"] == token.claims.get("client_id"):
        raise InvalidTokenError("the token belongs to a client, not to a user")
    return token.claims


def check_authenticated_since(claims: Claims, *, since: float, leeway: float, at: float) -> None:
    """Check that the user authenticated at the provider after a time in seconds.

    A provider that is asked with `max_age` must report the time (OpenID Connect Core, 2). Raises
    StaleAuthenticationError.
    """
    authenticated_at = claims.get("auth_time")
    is_number = isinstance(authenticated_at, int | float) and not isinstance(authenticated_at, bool)
    if not is_number:
        raise StaleAuthenticationError("the ID token has no valid auth_time")
    if not int(since) - leeway <= authenticated_at <= at + leeway:
        raise StaleAuthenticationError("the user did not authenticate again")


def check_id_token(
    token: jwt.Token,
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str | None,
    leeway: float,
    at: float,
) -> Claims:
    """Return the claims of an ID token (OpenID Connect Core, 3.1.3.7).

    Raises InvalidTokenError.
    """
    options: dict[str, ClaimsOption] = {
        "iss": {"essential": True, "value": issuer},
        "sub": {"essential": True},
        "aud": {"essential": True, "value": client_id},
    }
    is_hashed = token.header["alg"] != "Ed25519"  # no specification defines the hash for at_hash
    params = {
        "client_id": client_id,
        "nonce": nonce,
        "access_token": access_token if is_hashed else None,
    }
    claims = CodeIDToken(token.claims, token.header, options, params)
    try:
        claims.validate(now=int(at), leeway=int(leeway))
    except (JoseError, ValueError, TypeError) as error:
        raise InvalidTokenError(str(error)) from None
    return token.claims


def _parse_key(published: Mapping[str, Any]) -> Key | None:
    """Parse one key; return None if it is not a signing key or too weak."""
    # 342 characters of base64 are 2048 bits (RFC 7518, 3.3)
    is_weak = published.get("kty") == "RSA" and len(str(published.get("n"))) < 342
    if published.get("kty") not in KEY_TYPES.values() or published.get("use") == "enc" or is_weak:
        return None
    try:
        return JWKRegistry.import_key(dict(published))
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _select_key(header: Header, keys: Sequence[Key]) -> Key:
    """Return the key named by `kid`; without `kid`, the only key that supports the algorithm."""
    algorithm, kid = header["alg"], header.get("kid")
    fitting = [key for key in keys if key.key_type == KEY_TYPES[algorithm]]
    if KEY_TYPES[algorithm] != "OKP":
        fitting = [key for key in fitting if key.get("alg") in (None, algorithm)]
    if kid is not None:
        fitting = [key for key in fitting if key.kid == kid][:1]
    if len(fitting) != 1:
        raise InvalidKeyIdError(f"no key is called {kid!r}")
    return fitting[0]
