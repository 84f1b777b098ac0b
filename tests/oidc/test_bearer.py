"""Bearer tokens of a provider for the API: which count, and what they cost."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from sqlalchemy import delete, event, func, select
from starlette.requests import Request

from api.auth import Caller, whoever_calls
from kit.openid import Provider
from kit.openid_kept import FRESH, PAUSE, STALE
from kit.openid_tokens import REGISTRY
from kit.settings import Settings
from models import FirstRunLink, User
from services.identity import profile_of
from tests.conftest import Transaction
from tests.oidc.conftest import CALLBACK, House, Houses, settings_for
from tests.oidc.fake import CLIENT_ID, CLIENT_SECRET, FakeProvider
from tests.oidc.real import RealProvider
from tests.oidc.spoiling import SPOILT, WRONG, Spoil, without_nones
from tests.oidc.test_provider import VERIFIER, Clock
from tests.world import World, token_of

KEYS = "/keys"


async def status_of(house: House, token: str) -> int:
    return (await house.script(token).get("/users/me")).status_code


async def test_a_token_of_the_provider_is_a_persons(house: House, fake: FakeProvider) -> None:
    claims = fake.claims("nora", email="nora@example.com", email_verified=True, name="Nora")
    script = house.script(fake.token(claims))
    me = (await script.post("/auth/bootstrap")).json()
    assert (me["clerk_user_id"], me["email"], me["name"]) == ("nora", "nora@example.com", "Nora")
    assert (await script.get("/users/me")).json() == me
    assert (await script.get("/organizations/me")).json()["name"] == "Personal"
    assert (await script.get("/activity")).status_code == 200


@pytest.mark.parametrize("spoil", SPOILT)
async def test_a_token_that_is_not_the_providers_is_nobodys(
    house: House, fake: FakeProvider, transaction: Transaction, spoil: Spoil
) -> None:
    token = spoil(fake.token(fake.claims("nora")), fake.key.as_dict(private=False))
    assert await status_of(house, token) == 401
    async with transaction() as session:
        assert await session.scalar(select(func.count()).select_from(User)) == 0


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_token_for_something_else_is_nobodys(
    house: House, fake: FakeProvider, wrong: str
) -> None:
    claims = without_nones(fake.claims("nora") | WRONG[wrong])
    assert await status_of(house, fake.token(claims)) == 401


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
async def test_what_a_provider_signs_for_another_purpose_does_not_count(
    house: House, fake: FakeProvider, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    """Also what a program has got for itself: it is no person."""
    told = fake.claims("nora") | claims
    token = jwt.encode(
        {"alg": "RS256", "kid": fake.key.kid} | header, told, fake.key, registry=Careless()
    )
    assert await status_of(house, token) == 401


class Careless(JWSRegistry):
    """Signs whatever it is given."""

    def check_header(self, header: dict[str, Any]) -> None:
        pass


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "application/at+jwt"])
async def test_the_kinds_of_access_tokens_count(house: House, fake: FakeProvider, typ: str) -> None:
    assert await status_of(house, fake.token(fake.claims("nora"), typ=typ)) == 200


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
async def test_a_token_is_meant_for_us_by_its_audience_or_its_authorized_party(
    houses: Houses, fake: FakeProvider, claims: dict[str, Any], status: int
) -> None:
    """S22. A session token of Clerk names the page's origin in `azp`, and no audience."""
    house = houses(fake, oidc_audience=("https://api.example.com", "https://app.example.com"))
    token = fake.token(without_nones(fake.claims("nora") | claims))
    assert await status_of(house, token) == status


async def test_clocks_may_differ_a_little(houses: Houses, fake: FakeProvider) -> None:
    house, at = houses(fake, oidc_leeway=60), int(time.time())
    for claims, status in [
        ({"exp": at - 30}, 200),
        ({"exp": at - 90}, 401),
        ({"nbf": at + 30, "iat": at + 30}, 200),
        ({"nbf": at + 90}, 401),
    ]:
        assert await status_of(house, fake.token(fake.claims("nora") | claims)) == status


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSAKey.generate_key(2048, auto_kid=True), "PS256"),
        (RSAKey.generate_key(2048, auto_kid=True), "RS512"),
        (ECKey.generate_key("P-256", auto_kid=True), "ES256"),
        (ECKey.generate_key("P-521", auto_kid=True), "ES512"),
        (OKPKey.generate_key("Ed25519", auto_kid=True), "EdDSA"),
        (OKPKey.generate_key("Ed25519", auto_kid=True), "Ed25519"),
    ],
)
async def test_every_kind_of_key_pair_counts(
    house: House, fake: FakeProvider, key: Any, algorithm: str
) -> None:
    nonsense: list[Any] = [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        5,
        {},
    ]
    fake.keys = [*nonsense, key.as_dict(private=False)]
    header = {"alg": algorithm, "kid": key.kid}
    token = jwt.encode(header, fake.claims("nora"), key, registry=REGISTRY)
    assert await status_of(house, token) == 200


async def test_without_a_provider_no_such_token_counts(
    house: House, fake: FakeProvider, transaction: Transaction, settings: Settings
) -> None:
    plain = House(settings, transaction, None)
    assert await status_of(plain, fake.token(fake.claims("nora"))) == 401


async def test_strangers_do_not_come_before_the_first_owner(
    house: House, fake: FakeProvider, transaction: Transaction
) -> None:
    async with transaction() as session:
        await session.execute(delete(FirstRunLink))
    refused = await house.script(fake.token(fake.claims("nora"))).get("/users/me")
    assert refused.status_code == 401
    assert refused.json()["code"] == "first_run_pending"


async def test_an_agents_header_decides_alone_where_agents_may_call(
    house: House, fake: FakeProvider, world: World
) -> None:
    script = house.script(fake.token(fake.claims("nora")))
    script.headers["X-Agent-Token"] = "mc_agent_nobodys"
    assert (await script.get("/activity")).status_code == 401
    assert (await script.get("/users/me")).status_code == 200
    agent = house.script(fake.token(fake.claims("nora")))
    agent.headers["X-Agent-Token"] = token_of(world.worker)
    assert (await agent.get("/activity")).status_code == 200
    assert (await house.script(fake.token({})).get("/agent/boards")).status_code == 401


async def test_who_fails_too_often_waits_and_nobody_with_a_good_token_does(
    house: House, fake: FakeProvider
) -> None:
    bad = house.script(fake.token(fake.claims("nora"), key=fake.key) + "x")
    tries = [(await bad.get("/users/me")).status_code for _ in range(21)]
    assert tries == [401] * 20 + [429]
    assert await status_of(house, fake.token(fake.claims("nora"))) == 200


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(fake: FakeProvider, clock: Clock) -> AsyncIterator[Provider]:
    made = Provider(settings_for(fake, Settings()), fake.transport, clock)
    yield made
    await made.close()


async def test_keys_are_fetched_once_however_many_ask(client: Provider, fake: FakeProvider) -> None:
    """S22."""
    token = fake.token(fake.claims("nora"))
    found = await asyncio.gather(*[client.bearer(token) for _ in range(50)])
    assert all(found)
    assert fake.asked == {KEYS: 1, "/.well-known/openid-configuration": 1}


async def test_made_up_keys_send_us_to_the_provider_only_now_and_then(
    client: Provider, fake: FakeProvider, clock: Clock
) -> None:
    await client.bearer(fake.token(fake.claims("nora")))
    for minute in range(6):
        clock.at += PAUSE if minute % 2 else 0
        made_up = [fake.token(fake.claims("x"), kid=secrets.token_hex()) for _ in range(20)]
        assert not any(await asyncio.gather(*[client.bearer(token) for token in made_up]))
    assert fake.asked[KEYS] == 4


async def test_keys_that_change_are_noticed_and_the_old_do_not_count_any_more(
    client: Provider, fake: FakeProvider, clock: Clock
) -> None:
    old = fake.token(fake.claims("nora"))
    assert await client.bearer(old)
    fake.rotate()
    clock.at += PAUSE
    assert await client.bearer(fake.token(fake.claims("nora")))
    assert await client.bearer(old) is None


async def test_a_provider_that_is_away_stops_nobody_for_a_day(
    client: Provider, fake: FakeProvider, clock: Clock
) -> None:
    token = fake.token(fake.claims("nora"))
    assert await client.bearer(token)
    fake.is_down = True
    clock.at = FRESH + 1
    assert await client.bearer(token)
    clock.at = STALE - 1
    assert await client.bearer(token)


async def test_without_keys_nobody_can_tell(house: House, fake: FakeProvider) -> None:
    """Whoever has a token is not told that it is bad, but to come again."""
    fake.is_down = True
    answer = await house.script(fake.token(fake.claims("nora"))).get("/users/me")
    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"


async def test_an_answer_without_end_is_not_read(client: Provider, fake: FakeProvider) -> None:
    fake.metadata = {"padding": "x" * 1_000_000}
    with pytest.raises(Exception, match="does not answer"):
        await client.bearer(fake.token(fake.claims("nora")))


async def test_who_is_known_is_found_in_one_statement(
    houses: Houses, fake: FakeProvider, settings: Settings, transaction: Transaction
) -> None:
    """P5."""
    house = houses(fake)
    token = fake.token(fake.claims("nora", email="nora@example.com", name="Nora"))
    assert await status_of(house, token) == 200
    sent: list[str] = []
    async with transaction() as session:
        connection = await session.connection()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            sent.append(statement)

    event.listen(connection.sync_connection, "before_cursor_execute", note)
    assert await status_of(house, token) == 200
    assert len([one for one in sent if "external_identities" in one]) == 1
    assert len(sent) <= 3, sent


async def test_a_stream_ends_with_its_token(house: House, fake: FakeProvider) -> None:
    """What a provider said of a listener counts until then, and is not asked for again."""
    at = int(time.time())
    headers = [(b"authorization", b"Bearer the token")]
    for exp, known in [(at + 60, True), (at - 5, True), (at - 60, False)]:
        told = profile_of(fake.claims("nora", exp=exp))
        state = {"told": told, "settings": house.settings}
        scope = {"type": "http", "headers": headers, "state": state}
        async with house.transaction() as session:
            found = await whoever_calls(session, Request(scope), Caller.USER)
        assert (found is not None) is known


async def test_an_access_token_of_the_real_provider_counts(
    houses: Houses, real_provider: RealProvider
) -> None:
    """By its own audience, as an API has it; neither tampered with, nor after its keys are gone."""
    api = "https://api.example.com"
    house = houses(real_provider, oidc_audience=(api,))
    assert house.client
    token = await access_token(house.client, real_provider, api)
    assert await status_of(house, token) == 200
    assert await status_of(houses(real_provider), token) == 401
    head, body, signature = token.split(".")
    for bad in (
        f"{head}.{body}x.{signature}",
        f"{head}.{body}.",
        f"{head}.{body[:-2]}.{signature}",
    ):
        assert await status_of(house, bad) == 401
    real_provider.rotate()
    assert await status_of(houses(real_provider, oidc_audience=(api,)), token) == 401


async def access_token(client: Provider, provider: RealProvider, audience: str) -> str:
    """Get a token for an API from the real provider, as an app of somebody else's would."""
    address = await client.sign_in_address(
        redirect_uri=CALLBACK, state="s", nonce="n", verifier=VERIFIER
    )
    back = parse_qs(urlsplit(provider.let_in(f"{address}&resource={audience}")).query)
    async with httpx2.AsyncClient() as app:
        form = {
            "grant_type": "authorization_code",
            "code": back["code"][0],
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            "resource": audience,
        }
        auth = httpx2.BasicAuth(quote_plus(CLIENT_ID), quote_plus(CLIENT_SECRET))
        answer = await app.post(f"{provider.issuer}/token", data=form, auth=auth)
    token: str = answer.raise_for_status().json()["access_token"]
    return token
