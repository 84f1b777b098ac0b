"""Act as the client of an OpenID provider.

It has no domain knowledge. Its coroutines use the network: do not await them in a transaction.
"""

import asyncio
import logging
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import quote_plus, urlsplit

import httpx2
import pydantic_core
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError
from joserfc import jwt
from joserfc.jwk import Key
from pydantic import BaseModel, ValidationError

from core.cancellation import cancel_task
from core.config.parsers import get_host
from core.config.settings import Settings
from core.errors import Unauthorized, Unavailable
from core.http.address_policy import build_service_policy
from core.http.outbound import GuardedTransport
from core.security.openid_tokens import (
    Claims,
    InvalidTokenError,
    StaleAuthenticationError,
    UnknownKeyError,
    check_authenticated_since,
    check_bearer,
    check_id_token,
    parse_keys,
    verify_signature,
)
from core.text import N_

log = logging.getLogger(__name__)

DISCOVERY_PATH = "/.well-known/openid-configuration"
SCOPE = "openid email profile"
REQUEST_TIMEOUT = 10.0  # seconds for one response
AUTHENTICATE_AGAIN = {"prompt": "login", "max_age": "0"}  # OpenID Connect Core, 3.1.2.1
MAX_RESPONSE_SIZE = 512 * 1024  # bytes of one response
REFRESH_AFTER = 3600.0  # seconds until a background refresh
EXPIRE_AFTER = 24 * 3600.0  # seconds until a value that could not be refreshed is discarded
RETRY_INTERVAL = 5.0  # seconds between two fetch attempts, independent of the callers

T = TypeVar("T")


class ProviderUnreachable(Exception):
    """The provider does not respond or returns an invalid response. The text is for the log."""


def provider_unavailable() -> Unavailable:
    """Return the error shown to users when the provider is unreachable."""
    return Unavailable(N_("The sign-in service does not answer. Try again soon."))


class ProviderMetadata(BaseModel, frozen=True):
    """The used part of the provider metadata (OpenID Connect Discovery, 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False

    @property
    def addresses(self) -> list[str]:
        """The endpoints that browsers or this server call."""
        known = [self.authorization_endpoint, self.token_endpoint, self.jwks_uri]
        return [*known, *([self.userinfo_endpoint] if self.userinfo_endpoint else [])]


class StaleWhileRevalidate(Generic[T]):
    """Cache one value; concurrent callers share a single request.

    `fetch` raises ProviderUnreachable or Unavailable. The cached value is served during a refresh,
    and for one day while the provider is unreachable, so that known users can still sign in.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[T]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._cached: tuple[float, T] | None = None
        self._attempted_at = -RETRY_INTERVAL
        self._refresh_task: asyncio.Task[None] | None = None

    async def get_value(self) -> T:
        """Return the cached value; fetch it if there is none. Raises Unavailable."""
        age = self._age()
        if age > EXPIRE_AFTER:
            return await self.refresh_value()
        if age > REFRESH_AFTER:
            self._start_refresh()
        return self._current_value()

    async def refresh_value(self) -> T:
        """Fetch a new value, unless the last attempt was just before. Raises Unavailable."""
        trying = self._start_refresh()
        if trying is not None:
            await asyncio.shield(trying)
        return self._current_value()

    async def close(self) -> None:
        """Cancel a running refresh."""
        if self._refresh_task is not None:
            await cancel_task(self._refresh_task)

    def _current_value(self) -> T:
        if self._cached is None or self._age() > EXPIRE_AFTER:
            raise provider_unavailable()
        return self._cached[1]

    def _age(self) -> float:
        return EXPIRE_AFTER + 1 if self._cached is None else self._clock() - self._cached[0]

    def _start_refresh(self) -> asyncio.Task[None] | None:
        """Start a refresh, unless one is running or the last attempt was just before."""
        if self._refresh_task is None and self._clock() - self._attempted_at >= RETRY_INTERVAL:
            self._attempted_at = self._clock()
            self._refresh_task = asyncio.create_task(self._refresh())
        return self._refresh_task

    async def _refresh(self) -> None:
        try:
            self._cached = (self._clock(), await self._fetch())
        except (ProviderUnreachable, Unavailable) as error:
            log.warning("The OpenID provider cannot be used: %s", error)
        finally:
            self._refresh_task = None


class OpenIdProvider:
    """The configured provider; one instance per process caches metadata and keys."""

    def __init__(
        self,
        settings: Settings,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._http_client: AsyncOAuth2Client | None = None
        self._metadata = StaleWhileRevalidate(self._discover, clock)
        self._keys: StaleWhileRevalidate[list[Key]] = StaleWhileRevalidate(self._fetch_keys, clock)

    async def build_authorization_url(
        self, *, redirect_uri: str, state: str, nonce: str, verifier: str, again: bool = False
    ) -> str:
        """Return the URL to which a browser is redirected for sign-in.

        With `again` the provider must authenticate a user who is signed in there. Raises
        Unavailable.
        """
        metadata = await self._metadata.get_value()
        address, _ = self._client().create_authorization_url(
            metadata.authorization_endpoint,
            redirect_uri=redirect_uri,
            state=state,
            nonce=nonce,
            code_verifier=verifier,
            scope=SCOPE,
            **(AUTHENTICATE_AGAIN if again else {}),
        )
        return address

    async def exchange_code(
        self,
        code: str,
        *,
        issuer: str | None,
        redirect_uri: str,
        nonce: str,
        verifier: str,
        authenticated_since: float | None = None,
    ) -> Claims:
        """Exchange an authorization code for the claims of the user.

        `issuer` is the parameter `iss` of the callback. With `authenticated_since`, a time in
        seconds, the user must have authenticated after it. Raises Unauthorized or Unavailable.
        """
        metadata = await self._metadata.get_value()
        try:
            self._check_sender(metadata, issuer)
            tokens = await self._request_tokens(metadata, code, redirect_uri, verifier)
            claims = check_id_token(
                await self._verify_signature(str(tokens.get("id_token") or "")),
                issuer=metadata.issuer,
                client_id=self._settings.oidc_client_id,
                nonce=nonce,
                access_token=tokens.get("access_token"),
                leeway=self._settings.oidc_leeway,
                at=time.time(),
            )
            if authenticated_since is not None:
                leeway = self._settings.oidc_leeway
                check_authenticated_since(
                    claims, since=authenticated_since, leeway=leeway, at=time.time()
                )
            return await self._add_userinfo(metadata, claims, tokens)
        except StaleAuthenticationError as error:
            log.warning("The OpenID provider did not authenticate a user again: %s", error)
            reason = N_(
                "Your provider did not confirm that you have just signed in again. Sign out there"
                " and try again, or use your password."
            )
            raise Unauthorized(reason, code="sign_in_not_recent") from None
        except InvalidTokenError as error:
            log.warning("A sign-in through the OpenID provider is invalid: %s", error)
            raise sign_in_not_verified() from None
        except ProviderUnreachable as error:
            log.warning("The OpenID provider cannot be used: %s", error)
            raise provider_unavailable() from None

    async def verify_bearer(self, token: str) -> Claims | None:
        """Return the claims of a bearer token, or None if it is invalid.

        Raises Unavailable if the keys cannot be fetched.
        """
        metadata = await self._metadata.get_value()
        settings = self._settings
        try:
            return check_bearer(
                await self._verify_signature(token),
                issuer=metadata.issuer,
                accepted=(settings.oidc_client_id, *settings.oidc_audience),
                leeway=settings.oidc_leeway,
                at=time.time(),
            )
        except InvalidTokenError as error:
            log.info("A bearer token is invalid: %s", error)
            return None

    async def close(self) -> None:
        """Cancel refreshes and close the HTTP client."""
        await self._metadata.close()
        await self._keys.close()
        if self._http_client is not None:
            await self._http_client.aclose()

    async def _verify_signature(self, token: str) -> jwt.Token:
        try:
            return verify_signature(token, await self._keys.get_value())
        except UnknownKeyError:
            return verify_signature(token, await self._keys.refresh_value())

    def _check_sender(self, metadata: ProviderMetadata, issuer: str | None) -> None:
        """Raise InvalidTokenError if the callback comes from another issuer (RFC 9207)."""
        must_say = metadata.authorization_response_iss_parameter_supported
        if issuer != metadata.issuer and (issuer is not None or must_say):
            raise InvalidTokenError("the callback comes from another issuer")

    async def _request_tokens(
        self, metadata: ProviderMetadata, code: str, redirect_uri: str, verifier: str
    ) -> Mapping[str, Any]:
        client = self._client()
        supported = metadata.token_endpoint_auth_methods_supported
        by_header = "client_secret_basic" in supported
        auth = client.client_auth(_basic_auth if by_header else "client_secret_post")
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
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
            raise InvalidTokenError(f"the code was rejected: {error.error}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TimeoutError) as error:
            raise ProviderUnreachable(
                f"no tokens from {metadata.token_endpoint}: {error!r}"
            ) from None

    async def _add_userinfo(
        self, metadata: ProviderMetadata, claims: Claims, tokens: Mapping[str, Any]
    ) -> Claims:
        """Add claims of the userinfo endpoint; signed claims take precedence."""
        is_enough = claims.get("email") and claims.get("name")
        if is_enough or not metadata.userinfo_endpoint or not tokens.get("access_token"):
            return claims
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        userinfo = dict(await self._fetch_json(metadata.userinfo_endpoint, bearer))
        if userinfo.get("sub") != claims["sub"]:
            raise InvalidTokenError("the userinfo has another subject")
        userinfo.pop("auth_time", None)  # only the signed one counts
        if claims.get("email") not in (None, userinfo.get("email")):
            userinfo.pop("email_verified", None)  # refers to another address
        return userinfo | dict(claims)

    async def _discover(self) -> ProviderMetadata:
        issuer = self._settings.oidc_issuer
        published = await self._fetch_json(issuer.rstrip("/") + DISCOVERY_PATH)
        try:
            metadata = ProviderMetadata.model_validate(published)
        except ValidationError as error:
            lacking = ", ".join(str(fault["loc"][0]) for fault in error.errors())
            raise ProviderUnreachable(f"{issuer} publishes nothing usable as {lacking}") from None
        if metadata.issuer.rstrip("/") != issuer.rstrip("/"):
            raise ProviderUnreachable(f"{issuer} says that it is {metadata.issuer}")
        secure = urlsplit(issuer).scheme
        if any(urlsplit(address).scheme not in (secure, "https") for address in metadata.addresses):
            raise ProviderUnreachable(f"{issuer} names an address without https://")
        return metadata

    async def _fetch_keys(self) -> list[Key]:
        metadata = await self._metadata.get_value()
        try:
            keys = parse_keys(await self._fetch_json(metadata.jwks_uri))
        except ValueError as error:
            raise ProviderUnreachable(f"{metadata.jwks_uri} {error}") from None
        if not keys:
            raise ProviderUnreachable(f"{metadata.jwks_uri} has no key for signatures")
        return keys

    async def _fetch_json(
        self, address: str, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Fetch a JSON object; redirects are not followed. Raises ProviderUnreachable."""
        asked = {"Accept": "application/json", **(headers or {})}
        try:
            async with (
                asyncio.timeout(REQUEST_TIMEOUT),
                self._client().stream("GET", address, withhold_token=True, headers=asked) as answer,
            ):
                body = await _read(answer)
            if answer.status_code != 200:
                raise ProviderUnreachable(f"{address} answers {answer.status_code}")
            found = pydantic_core.from_json(body)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TimeoutError) as error:
            raise ProviderUnreachable(f"{address} cannot be read: {error!r}") from None
        if not isinstance(found, dict):
            raise ProviderUnreachable(f"{address} has no JSON object")
        return found

    def _client(self) -> AsyncOAuth2Client:
        """Return the HTTP client, created on first use because loading certificates is slow."""
        if self._http_client is None:
            self._http_client = AsyncOAuth2Client(
                self._settings.oidc_client_id,
                self._settings.oidc_client_secret,
                code_challenge_method="S256",
                timeout=REQUEST_TIMEOUT / 2,
                headers={"Accept-Encoding": "identity"},
                transport=self._transport
                or GuardedTransport(
                    build_service_policy(
                        get_host(self._settings.oidc_issuer), self._settings.services_allow_private
                    ),
                    max_response_bytes=MAX_RESPONSE_SIZE,
                ),
            )
        return self._http_client


def sign_in_not_verified() -> Unauthorized:
    """Return the error shown to users whose sign-in could not be verified."""
    reason = N_("The sign-in could not be confirmed. Start again.")
    return Unauthorized(reason, code="sign_in_not_verified")


async def _read(answer: httpx2.Response) -> bytes:
    body = b""
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > MAX_RESPONSE_SIZE:
            raise ValueError(f"more than {MAX_RESPONSE_SIZE} bytes")
    return body


def _basic_auth(
    client: Any, _method: str, address: str, headers: dict[str, str], body: Any
) -> tuple[str, dict[str, str], Any]:
    """Authenticate the client, quoted as in RFC 6749 (2.3.1); Authlib does not quote."""
    named = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {b64encode(named.encode()).decode()}"
    return address, headers, body
