"""An OpenID provider, as its client sees it: where it sends people, and what it says of them.

It knows nothing of ours. None of it may be awaited inside a transaction: it asks the network.
"""

import asyncio
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx2
import pydantic_core
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError
from joserfc import jwt
from joserfc.jwk import Key
from pydantic import BaseModel, ValidationError

from kit.errors import Unauthorized
from kit.openid_kept import Kept, Unreachable, away
from kit.openid_tokens import (
    BadToken,
    Claims,
    UnknownKey,
    check_bearer,
    check_id_token,
    keys_in,
    signed,
)
from kit.settings import Settings

log = logging.getLogger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
SCOPE = "openid email profile"
PATIENCE = 10.0  # seconds for one answer of the provider
LARGEST = 512 * 1024  # bytes of one answer


class Metadata(BaseModel, frozen=True):
    """What we need of what a provider publishes about itself (OpenID Connect Discovery, 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False

    @property
    def addresses(self) -> list[str]:
        """Where people or we are sent."""
        known = [self.authorization_endpoint, self.token_endpoint, self.jwks_uri]
        return [*known, *([self.userinfo_endpoint] if self.userinfo_endpoint else [])]


class Provider:
    """The provider of the settings. One lives as long as its process, and keeps what it learns."""

    def __init__(
        self,
        settings: Settings,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._opened: AsyncOAuth2Client | None = None
        self._metadata = Kept(self._discover, clock)
        self._keys: Kept[list[Key]] = Kept(self._fetch_keys, clock)

    async def sign_in_address(
        self, *, redirect_uri: str, state: str, nonce: str, verifier: str
    ) -> str:
        """Return where to send a browser that wants to sign in. Raises Unavailable."""
        metadata = await self._metadata.value()
        address, _ = self._client().create_authorization_url(
            metadata.authorization_endpoint,
            redirect_uri=redirect_uri,
            state=state,
            nonce=nonce,
            code_verifier=verifier,
            scope=SCOPE,
        )
        return address

    async def claims_for(
        self, code: str, *, issuer: str | None, redirect_uri: str, nonce: str, verifier: str
    ) -> Claims:
        """Return what the provider says of whom it sent back with a code, and perhaps its name.

        Raises Unauthorized, and Unavailable.
        """
        metadata = await self._metadata.value()
        try:
            self._check_sender(metadata, issuer)
            tokens = await self._exchange(metadata, code, redirect_uri, verifier)
            claims = check_id_token(
                await self._signed(str(tokens.get("id_token") or "")),
                issuer=metadata.issuer,
                client_id=self._settings.oidc_client_id,
                nonce=nonce,
                access_token=tokens.get("access_token"),
                leeway=self._settings.oidc_leeway,
                at=time.time(),
            )
            return await self._completed(metadata, claims, tokens)
        except BadToken as error:
            log.warning("A sign-in through the OpenID provider does not hold: %s", error)
            raise not_proven() from None
        except Unreachable as error:
            log.warning("The OpenID provider cannot be used: %s", error)
            raise away() from None

    async def bearer(self, token: str) -> Claims | None:
        """Return the claims of a token that was sent with a call, or None if it proves nothing.

        Raises Unavailable where there are no keys to tell.
        """
        metadata = await self._metadata.value()
        settings = self._settings
        try:
            return check_bearer(
                await self._signed(token),
                issuer=metadata.issuer,
                accepted=(settings.oidc_client_id, *settings.oidc_audience),
                leeway=settings.oidc_leeway,
                at=time.time(),
            )
        except BadToken as error:
            log.info("A bearer token proves nothing: %s", error)
            return None

    async def close(self) -> None:
        """Close what is open."""
        await self._metadata.close()
        await self._keys.close()
        if self._opened is not None:
            await self._opened.aclose()

    async def _signed(self, token: str) -> jwt.Token:
        try:
            return signed(token, await self._keys.value())
        except UnknownKey:
            return signed(token, await self._keys.renewed())

    def _check_sender(self, metadata: Metadata, issuer: str | None) -> None:
        """Raise BadToken if it was another provider that sent somebody back (RFC 9207)."""
        must_say = metadata.authorization_response_iss_parameter_supported
        if issuer != metadata.issuer and (issuer is not None or must_say):
            raise BadToken("another issuer than ours sent the answer")

    async def _exchange(
        self, metadata: Metadata, code: str, redirect_uri: str, verifier: str
    ) -> Mapping[str, Any]:
        client = self._client()
        supported = metadata.token_endpoint_auth_methods_supported
        by_header = "client_secret_basic" in supported
        auth = client.client_auth(_by_header if by_header else "client_secret_post")
        try:
            async with asyncio.timeout(PATIENCE):
                tokens: Mapping[str, Any] = await client.fetch_token(
                    metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=redirect_uri,
                    code_verifier=verifier,
                    auth=auth,
                )
                return tokens
        except OAuthError as error:
            raise BadToken(f"the code was not taken: {error.error}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TimeoutError) as error:
            raise Unreachable(f"no tokens from {metadata.token_endpoint}: {error!r}") from None

    async def _completed(
        self, metadata: Metadata, claims: Claims, tokens: Mapping[str, Any]
    ) -> Claims:
        """Add what the provider tells only when it is asked. What it has signed goes first."""
        is_enough = claims.get("email") and claims.get("name")
        if is_enough or not metadata.userinfo_endpoint or not tokens.get("access_token"):
            return claims
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        told = dict(await self._json(metadata.userinfo_endpoint, bearer))
        if told.get("sub") != claims["sub"]:
            raise BadToken("what was told is about somebody else")
        if claims.get("email") not in (None, told.get("email")):
            told.pop("email_verified", None)  # that is about another address
        return told | dict(claims)

    async def _discover(self) -> Metadata:
        issuer = self._settings.oidc_issuer
        published = await self._json(issuer.rstrip("/") + DISCOVERY)
        try:
            metadata = Metadata.model_validate(published)
        except ValidationError as error:
            lacking = ", ".join(str(fault["loc"][0]) for fault in error.errors())
            raise Unreachable(f"{issuer} publishes nothing usable as {lacking}") from None
        if metadata.issuer.rstrip("/") != issuer.rstrip("/"):
            raise Unreachable(f"{issuer} says that it is {metadata.issuer}")
        secure = urlsplit(issuer).scheme
        if any(urlsplit(address).scheme not in (secure, "https") for address in metadata.addresses):
            raise Unreachable(f"{issuer} names an address without https://")
        return metadata

    async def _fetch_keys(self) -> list[Key]:
        metadata = await self._metadata.value()
        try:
            keys = keys_in(await self._json(metadata.jwks_uri))
        except ValueError as error:
            raise Unreachable(f"{metadata.jwks_uri} {error}") from None
        if not keys:
            raise Unreachable(f"{metadata.jwks_uri} has no key for signatures")
        return keys

    async def _json(self, address: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the JSON object at an address. Nothing leads us elsewhere. Raises Unreachable."""
        asked = {"Accept": "application/json", **(headers or {})}
        try:
            async with (
                asyncio.timeout(PATIENCE),
                self._client().stream("GET", address, withhold_token=True, headers=asked) as answer,
            ):
                body = await _read(answer)
            if answer.status_code != 200:
                raise Unreachable(f"{address} answers {answer.status_code}")
            found = pydantic_core.from_json(body)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TimeoutError) as error:
            raise Unreachable(f"{address} cannot be read: {error!r}") from None
        if not isinstance(found, dict):
            raise Unreachable(f"{address} has no JSON object")
        return found

    def _client(self) -> AsyncOAuth2Client:
        """Return the client, opened when it is first needed: reading certificates takes a while."""
        if self._opened is None:
            self._opened = AsyncOAuth2Client(
                self._settings.oidc_client_id,
                self._settings.oidc_client_secret,
                code_challenge_method="S256",
                timeout=PATIENCE / 2,
                transport=self._transport,
            )
        return self._opened


def not_proven() -> Unauthorized:
    """Return what people are told whom the provider sent back, but of whom nothing holds."""
    reason = "The sign-in could not be confirmed. Start again."
    return Unauthorized(reason, code="sign_in_not_proven")


async def _read(answer: httpx2.Response) -> bytes:
    body = b""
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
    return body


def _by_header(
    client: Any, _method: str, address: str, headers: dict[str, str], body: Any
) -> tuple[str, dict[str, str], Any]:
    """Say who we are in a header, quoted as RFC 6749 has it (2.3.1); Authlib leaves that out."""
    named = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {b64encode(named.encode()).decode()}"
    return address, headers, body
