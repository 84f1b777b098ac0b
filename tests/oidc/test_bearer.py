"""Bearer tokens of a provider for the API: which are accepted, and what they cost."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from sqlalchemy import delete, func, select
from starlette.requests import Request

from api.framework.auth import AllowedCaller, authenticate
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.security.openid import OpenIdProvider
from core.security.openid_tokens import REGISTRY
from models import FirstRunLink, User
from services.identity import parse_profile
from tests.oidc.conftest import CALLBACK, Installation, InstallationFactory
from tests.oidc.test_provider import VERIFIER
from tests.support.fake_oidc_provider import CLIENT_ID, CLIENT_SECRET, FakeProvider
from tests.support.invalid_tokens import SPOILT, WRONG, Tamper, drop_none_values
from tests.support.people_rows import token_secret
from tests.support.real_oidc_provider import RealProvider
from tests.support.statement_counter import count_statements
from tests.support.world import World


async def status_of(installation: Installation, token: str) -> int:
    return (await installation.script(token).get("/users/me")).status_code


async def test_a_token_of_the_provider_identifies_a_user(
    installation: Installation, fake: FakeProvider
) -> None:
    claims = fake.claims("nora", email="nora@example.com", email_verified=True, name="Nora")
    script = installation.script(fake.token(claims))
    me = (await script.post("/auth/bootstrap")).json()
    assert (me["clerk_user_id"], me["email"], me["name"]) == ("nora", "nora@example.com", "Nora")
    assert (await script.get("/users/me")).json() == me
    assert (await script.get("/organizations/me")).json()["name"] == "Personal"
    assert (await script.get("/activity")).status_code == 200


@pytest.mark.parametrize("spoil", SPOILT)
async def test_a_token_not_signed_by_the_provider_is_rejected(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory, spoil: Tamper
) -> None:
    token = spoil(fake.token(fake.claims("nora")), fake.key.as_dict(private=False))
    assert await status_of(installation, token) == 401
    async with transaction() as session:
        assert await session.scalar(select(func.count()).select_from(User)) == 0


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_token_for_another_audience_is_rejected(
    installation: Installation, fake: FakeProvider, wrong: str
) -> None:
    claims = drop_none_values(fake.claims("nora") | WRONG[wrong])
    assert await status_of(installation, fake.token(claims)) == 401


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": "logout+jwt"}, {}),
        ({"typ": "secevent+jwt"}, {}),
        ({}, {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
        ({}, {"client_id": "nora"}),
        ({"crit": ["exp"], "exp": 5}, {}),
    ],
)
async def test_a_token_signed_for_another_purpose_is_rejected(
    installation: Installation, fake: FakeProvider, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    """Also one that a program got for itself, without a user."""
    reported = fake.claims("nora") | claims
    token = jwt.encode(
        {"alg": "RS256", "kid": fake.key.kid} | header, reported, fake.key, registry=CarelessKey()
    )
    assert await status_of(installation, token) == 401


class CarelessKey(JWSRegistry):
    """A provider key that signs every header."""

    def check_header(self, header: dict[str, Any]) -> None:
        pass


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "application/at+jwt"])
async def test_the_types_of_access_tokens_are_accepted(
    installation: Installation, fake: FakeProvider, typ: str
) -> None:
    assert await status_of(installation, fake.token(fake.claims("nora"), typ=typ)) == 200


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"aud": [CLIENT_ID, "another"]}, 200),
        ({"aud": "account", "azp": CLIENT_ID}, 200),
        ({"aud": None, "azp": CLIENT_ID}, 200),
        ({"aud": "https://api.example.com"}, 200),
        ({"aud": None, "azp": "https://app.example.com"}, 200),
        ({"aud": "another", "azp": "another"}, 401),
        ({"aud": None, "azp": None}, 401),
        ({"aud": None, "azp": [CLIENT_ID]}, 401),
        ({"aud": []}, 401),
    ],
)
async def test_the_audience_or_the_authorized_party_must_match(
    installations: InstallationFactory, fake: FakeProvider, claims: dict[str, Any], status: int
) -> None:
    """S22. A session token of Clerk names the page's origin in `azp`, and no audience."""
    installation = installations(
        fake, oidc_audience=("https://api.example.com", "https://app.example.com")
    )
    token = fake.token(drop_none_values(fake.claims("nora") | claims))
    assert await status_of(installation, token) == status


async def test_a_small_clock_difference_is_tolerated(
    installations: InstallationFactory, fake: FakeProvider
) -> None:
    installation, at = installations(fake, oidc_leeway=60), int(time.time())
    for claims, status in [
        ({"exp": at - 30}, 200),
        ({"exp": at - 90}, 401),
        ({"nbf": at + 30, "iat": at + 30}, 200),
        ({"nbf": at + 90}, 401),
    ]:
        assert await status_of(installation, fake.token(fake.claims("nora") | claims)) == status


@pytest.mark.parametrize(
    ("generate_key", "algorithm"),
    [
        (partial(RSAKey.generate_key, 2048), "PS256"),
        (partial(RSAKey.generate_key, 2048), "RS512"),
        (partial(ECKey.generate_key, "P-256"), "ES256"),
        (partial(ECKey.generate_key, "P-521"), "ES512"),
        (partial(OKPKey.generate_key, "Ed25519"), "EdDSA"),
        (partial(OKPKey.generate_key, "Ed25519"), "Ed25519"),
    ],
)
async def test_every_type_of_key_pair_is_supported(
    installation: Installation,
    fake: FakeProvider,
    generate_key: Callable[..., Any],
    algorithm: str,
) -> None:
    key = generate_key(auto_kid=True)
    nonsense: list[Any] = [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        5,
        {},
    ]
    fake.keys = [*nonsense, key.as_dict(private=False)]
    header = {"alg": algorithm, "kid": key.kid}
    token = jwt.encode(header, fake.claims("nora"), key, registry=REGISTRY)
    assert await status_of(installation, token) == 200


async def test_without_a_provider_such_tokens_are_rejected(
    installation: Installation,
    fake: FakeProvider,
    transaction: TransactionFactory,
    settings: Settings,
) -> None:
    plain = Installation(settings, transaction, None)
    assert await status_of(plain, fake.token(fake.claims("nora"))) == 401


async def test_external_users_cannot_register_before_the_first_owner(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        await session.execute(delete(FirstRunLink))
    rejected = await installation.script(fake.token(fake.claims("nora"))).get("/users/me")
    assert rejected.status_code == 401
    assert rejected.json()["code"] == "first_run_pending"


async def test_the_agent_header_takes_precedence_where_allowed(
    installation: Installation, fake: FakeProvider, world: World
) -> None:
    script = installation.script(fake.token(fake.claims("nora")))
    script.headers["X-Agent-Token"] = "mc_agent_nobodys"
    assert (await script.get("/activity")).status_code == 401
    assert (await script.get("/users/me")).status_code == 200
    agent = installation.script(fake.token(fake.claims("nora")))
    agent.headers["X-Agent-Token"] = token_secret(world.worker)
    assert (await agent.get("/activity")).status_code == 200
    assert (await installation.script(fake.token({})).get("/agent/boards")).status_code == 401


async def test_only_callers_with_wrong_tokens_are_rate_limited(
    installation: Installation, fake: FakeProvider
) -> None:
    bad = installation.script(fake.token(fake.claims("nora"), key=fake.key) + "x")
    tries = [(await bad.get("/users/me")).status_code for _ in range(21)]
    assert tries == [401] * 20 + [429]
    assert await status_of(installation, fake.token(fake.claims("nora"))) == 200


async def test_without_keys_the_request_is_unavailable(
    installation: Installation, fake: FakeProvider
) -> None:
    """The caller is asked to retry, since the token may be valid."""
    fake.is_down = True
    response = await installation.script(fake.token(fake.claims("nora"))).get("/users/me")
    assert response.status_code == 503
    assert response.json()["code"] == "unavailable"


async def test_a_known_external_user_takes_one_statement(
    installations: InstallationFactory,
    fake: FakeProvider,
    settings: Settings,
    transaction: TransactionFactory,
) -> None:
    """P5."""
    installation = installations(fake)
    token = fake.token(fake.claims("nora", email="nora@example.com", name="Nora"))
    assert await status_of(installation, token) == 200
    async with transaction() as session:
        connection = await session.connection()
    with count_statements(connection) as sent:
        assert await status_of(installation, token) == 200
    assert len([one for one in sent if "external_identities" in one]) == 1
    assert len(sent) <= 3, sent


async def test_a_stream_ends_when_its_token_expires(
    installation: Installation, fake: FakeProvider
) -> None:
    """A stream is valid until its token expires, without another query of the provider."""
    at = int(time.time())
    headers = [(b"authorization", b"Bearer the token")]
    for exp, known in [(at + 60, True), (at - 5, True), (at - 60, False)]:
        reported = parse_profile(fake.claims("nora", exp=exp))
        state = {"provider_profile": reported, "settings": installation.settings}
        scope = {"type": "http", "headers": headers, "state": state}
        async with installation.transaction() as session:
            found = await authenticate(session, Request(scope), AllowedCaller.USER)
        assert (found is not None) is known


async def test_an_access_token_of_the_real_provider_is_accepted(
    installations: InstallationFactory, real_provider: RealProvider
) -> None:
    """It has an audience of its own, as for an API; tampered tokens and old keys are rejected."""
    api = "https://api.example.com"
    installation = installations(real_provider, oidc_audience=(api,))
    assert installation.client
    token = await access_token(installation.client, real_provider, api)
    assert await status_of(installation, token) == 200
    assert await status_of(installations(real_provider), token) == 401
    head, body, signature = token.split(".")
    for bad in (
        f"{head}.{body}x.{signature}",
        f"{head}.{body}.",
        f"{head}.{body[:-2]}.{signature}",
    ):
        assert await status_of(installation, bad) == 401
    real_provider.rotate()
    assert await status_of(installations(real_provider, oidc_audience=(api,)), token) == 401


async def access_token(client: OpenIdProvider, provider: RealProvider, audience: str) -> str:
    """Get an access token for an API from the real provider, as another app would."""
    address = await client.build_authorization_url(
        redirect_uri=CALLBACK, state="s", nonce="n", verifier=VERIFIER
    )
    back = parse_qs(urlsplit(provider.sign_in(f"{address}&resource={audience}")).query)
    async with httpx2.AsyncClient(timeout=20) as app:
        form = {
            "grant_type": "authorization_code",
            "code": back["code"][0],
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            "resource": audience,
        }
        auth = httpx2.BasicAuth(quote_plus(CLIENT_ID), quote_plus(CLIENT_SECRET))
        response = await app.post(f"{provider.issuer}/token", data=form, auth=auth)
    token: str = response.raise_for_status().json()["access_token"]
    return token
