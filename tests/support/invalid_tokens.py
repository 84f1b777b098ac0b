"""Invalid tokens, made from valid ones."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import RSAKey

Tamper = Callable[[str, dict[str, Any]], str]  # a token, and the provider's public key

OTHER_KEY = RSAKey.generate_key(2048)


def encode_part(value: object) -> str:
    """Encode one part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def decode_part(text: str) -> Any:
    """Decode one part of a token."""
    return json.loads(base64.urlsafe_b64decode(text + "=="))


def tamper_payload(token: str, _key: dict[str, Any]) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{encode_part(decode_part(body) | {'sub': 'somebody else'})}.{signature}"


def remove_signature(token: str, _key: dict[str, Any]) -> str:
    head, body, _ = token.split(".")
    return f"{encode_part(decode_part(head) | {'alg': 'none'})}.{body}."


def sign_with_public_key(token: str, key: dict[str, Any]) -> str:
    """Use the public key as a shared secret."""
    head, body, _ = token.split(".")
    raw = RSAKey.import_key(key).public_key
    secret = raw.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    reported = f"{encode_part(decode_part(head) | {'alg': 'HS256'})}.{body}"
    created = hmac.new(secret, reported.encode(), hashlib.sha256).digest()
    return f"{reported}.{base64.urlsafe_b64encode(created).decode().rstrip('=')}"


def sign_with_other_key(token: str, _key: dict[str, Any]) -> str:
    head, body, _ = token.split(".")
    return jwt.encode(decode_part(head), decode_part(body), OTHER_KEY)


def embed_own_key(token: str, _key: dict[str, Any]) -> str:
    head, body, _ = token.split(".")
    own = {"jwk": OTHER_KEY.as_dict(private=False), "kid": "of my own"}
    unbound = jwt.JWSRegistry(algorithms=["RS256"])
    unbound.max_header_length = 2000
    return jwt.encode(decode_part(head) | own, decode_part(body), OTHER_KEY, registry=unbound)


SPOILT: list[Tamper] = [
    tamper_payload,
    remove_signature,
    sign_with_public_key,
    sign_with_other_key,
    embed_own_key,
]

LONG_AGO, LATER = int(time.time()) - 86_400, int(time.time()) + 86_400  # a day

WRONG: dict[str, dict[str, Any]] = {
    "expired": {"exp": LONG_AGO},
    "without an end": {"exp": None},
    "ends as a text": {"exp": "tomorrow"},
    "not yet valid": {"nbf": LATER},
    "made in the future": {"iat": LATER},
    "of another issuer": {"iss": "https://evil.example"},
    "for somebody else": {"aud": "another client"},
    "for nobody": {"aud": None},
    "for a number": {"aud": 5},
    "about nobody": {"sub": ""},
    "about nothing": {"sub": None},
    "about a number": {"sub": 5},
    "about what cannot be stored": {"sub": "a\0b"},
}
"""Claims of tokens that are rightly signed, and still prove nothing."""


def drop_none_values(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if value is not None}


class TamperingTransport(httpx2.AsyncBaseTransport):
    """A transport between us and a provider that modifies the token at the end of a sign-in."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, spoil: Tamper) -> None:
        self._inner = inner
        self._spoil = spoil
        self._key: dict[str, Any] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        body = json.loads(await response.aread())
        if "jwks_uri" in body:
            published = await self._inner.handle_async_request(
                httpx2.Request("GET", body["jwks_uri"])
            )
            [self._key] = json.loads(await published.aread())["keys"]
        if "id_token" in body:
            body["id_token"] = self._spoil(body["id_token"], self._key)
        return httpx2.Response(response.status_code, json=body)

    async def aclose(self) -> None:
        await self._inner.aclose()
