"""Tokens that a provider has signed: is it its signature, and are they meant for us? Pure.

Nothing of a token is believed before its signature has been checked, with a key that the provider
publishes and an algorithm from our own list: never one that a token chooses outside it, and none
with a shared secret, for which a public key could be taken.
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
"""The algorithms that count, each with the kind of key that it takes."""

BEARER_TYPES = {"jwt", "at+jwt"}
MOST_KEYS = 50
SHORTEST_MODULUS = 342  # characters of base64 for 2048 bits (RFC 7518, 3.3)
LOOKS = re.compile(r"ey[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


class BadToken(Exception):
    """A token that proves nothing. Its text says why, for the log."""


class UnknownKey(BadToken):
    """Signed with a key that we have not seen. The provider may have changed its keys."""


class _OurAlgorithms(JWSRegistry):
    """Knows the algorithms of our list alone, and headers of every name."""

    def __init__(self) -> None:
        super().__init__(algorithms=list(KEY_TYPES), strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        """Return an algorithm. The library's own way warns of EdDSA, which is only renamed."""
        if name not in KEY_TYPES:
            raise UnsupportedAlgorithmError(f"Algorithm of '{name}' is not allowed")
        return self.algorithms[name]


REGISTRY = _OurAlgorithms()


def looks_like_jwt(text: str) -> bool:
    """Say whether a text has the form of a signed token. None of our own secrets has it."""
    return LOOKS.fullmatch(text) is not None


def keys_in(published: Mapping[str, Any]) -> list[Key]:
    """Return the keys for signatures among those that are published, less what we don't know."""
    listed = published.get("keys")
    if not isinstance(listed, list):
        raise ValueError("has no list of keys")
    found = [_key(one) for one in listed[:MOST_KEYS] if isinstance(one, dict)]
    return [key for key in found if key is not None]


def signed(token: str, keys: Sequence[Key]) -> jwt.Token:
    """Return what a token says. Raises BadToken, and UnknownKey if another key might do."""
    try:
        header = extract_compact(token.encode()).headers()
        REGISTRY.check_header(header)
        REGISTRY.get_alg(header["alg"])
        return jwt.decode(token, _chosen(header, keys), registry=REGISTRY)
    except InvalidKeyIdError as error:
        raise UnknownKey(str(error)) from None
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise BadToken(str(error)) from None


def check_bearer(
    token: jwt.Token, *, issuer: str, accepted: Collection[str], leeway: float, at: float
) -> Claims:
    """Return the claims of a token that was sent to us with a call. Raises BadToken.

    It must be meant for us: by `aud`, or by `azp`, where a provider names only who asked for it.
    """
    kind = str(token.header.get("typ", "JWT")).lower().removeprefix("application/")
    if kind not in BEARER_TYPES or "events" in token.claims:
        raise BadToken("it is a token for something else")
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
        raise BadToken(str(error)) from None
    if not _is_for(accepted, token.claims):
        raise BadToken("it is meant for somebody else")
    if token.claims["sub"] == token.claims.get("client_id"):
        raise BadToken("it is a program's own, and no person's")
    return token.claims


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
    """Return the claims of the token that ends a sign-in (OpenID Connect Core, 3.1.3.7).

    Raises BadToken.
    """
    options: dict[str, ClaimsOption] = {
        "iss": {"essential": True, "value": issuer},
        "sub": {"essential": True},
        "aud": {"essential": True, "value": client_id},
    }
    is_hashed = token.header["alg"] != "Ed25519"  # for which nobody says with what to hash
    params = {
        "client_id": client_id,
        "nonce": nonce,
        "access_token": access_token if is_hashed else None,
    }
    claims = CodeIDToken(token.claims, token.header, options, params)
    try:
        claims.validate(now=int(at), leeway=int(leeway))
    except (JoseError, ValueError, TypeError) as error:
        raise BadToken(str(error)) from None
    return token.claims


def _is_for(accepted: Collection[str], claims: Claims) -> bool:
    audience = claims.get("aud", [])
    named = [audience] if isinstance(audience, str) else [*audience]
    return any(name in accepted for name in [*named, claims.get("azp")])


def _key(published: Mapping[str, Any]) -> Key | None:
    """Read one key; None for what is no key for signatures, or too weak for them."""
    is_weak = published.get("kty") == "RSA" and len(str(published.get("n"))) < SHORTEST_MODULUS
    if published.get("kty") not in KEY_TYPES.values() or published.get("use") == "enc" or is_weak:
        return None
    try:
        return JWKRegistry.import_key(dict(published))
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _chosen(header: Header, keys: Sequence[Key]) -> Key:
    """Return the key that a token names, or, where it names none, the only one that it can mean."""
    fitting = [key for key in keys if _fits(key, header["alg"])]
    kid = header.get("kid")
    if kid is not None:
        fitting = [key for key in fitting if key.kid == kid][:1]
    if len(fitting) != 1:
        raise InvalidKeyIdError(f"no key is called {kid!r}")
    return fitting[0]


def _fits(key: Key, algorithm: str) -> bool:
    kind = KEY_TYPES[algorithm]
    return key.key_type == kind and (kind == "OKP" or key.get("alg") in (None, algorithm))
