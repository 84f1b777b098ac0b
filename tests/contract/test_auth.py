"""The caller, by the claims of a provider's token (contract, people-and-boards 1.9 and 3.1)."""

from typing import Any

import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import User
from tests.oidc.conftest import Installation, fake, installation, installations
from tests.support.fake_oidc_provider import FakeProvider
from tests.support.world import World

__all__ = ["fake", "installation", "installations"]

FIELDS = {
    "id",
    "clerk_user_id",
    "email",
    "name",
    "preferred_name",
    "pronouns",
    "timezone",
    "notes",
    "context",
    "is_super_admin",
}


async def bootstrap(
    installation: Installation, fake: FakeProvider, **claims: Any
) -> dict[str, Any]:
    """Return the response to a user who calls with these claims."""
    script = installation.script(fake.token(fake.claims(claims.pop("sub", "user_2abc"), **claims)))
    response = await script.post("/auth/bootstrap")
    assert response.status_code == 200, response.text
    return response.json()


async def test_bootstrap_creates_the_user_of_the_claims(
    installation: Installation, fake: FakeProvider
) -> None:
    """P3.1. The subject is the external id."""
    me = await bootstrap(installation, fake, email="Nora@Example.com ", name=" Nora Novak ")
    assert set(me) == FIELDS
    assert me["clerk_user_id"] == "user_2abc"
    assert (me["email"], me["name"]) == ("nora@example.com", "Nora Novak")
    assert me["is_super_admin"] is False
    assert await bootstrap(installation, fake) == me


PRIMARY = {"primary_email_address_id": "idn_2"}
ENTRIES = [
    {"id": "idn_1", "email_address": "first@example.com"},
    {"id": "idn_2", "email_address": "Second@example.com"},
]


@pytest.mark.parametrize(
    ("claims", "email"),
    [
        ({"email": "a@x.example", "email_address": "b@x.example"}, "a@x.example"),
        ({"email": "", "email_address": "b@x.example"}, "b@x.example"),
        ({"email": None, "primary_email_address": "C@x.example"}, "c@x.example"),
        ({"email": 5, "email_addresses": ["d@x.example", "e@x.example"]}, "d@x.example"),
        ({"email_addresses": ENTRIES}, "first@example.com"),
        ({"email_addresses": ENTRIES} | PRIMARY, "second@example.com"),
        ({"email_addresses": [{"id": "idn_2"}]} | PRIMARY, None),
        ({"email_addresses": []}, None),
        ({"email_addresses": "no list"}, None),
        ({"email": "no address"}, None),
        ({"email": "a\0b@x.example"}, None),
        ({}, None),
    ],
)
async def test_the_first_usable_address_claim_counts(
    installation: Installation, fake: FakeProvider, claims: dict[str, Any], email: str | None
) -> None:
    """P1.9."""
    assert (await bootstrap(installation, fake, **claims))["email"] == email


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "Nora Novak", "full_name": "Other"}, "Nora Novak"),
        ({"name": " ", "full_name": "Nora N."}, "Nora N."),
        ({"given_name": "Nora", "family_name": "Novak"}, "Nora Novak"),
        ({"first_name": "Nora", "last_name": "Novak"}, "Nora Novak"),
        ({"first_name": "Nora", "last_name": None}, "Nora"),
        ({"family_name": "Novak"}, "Novak"),
        ({"name": ["Nora"]}, None),
        ({"name": "x" * 500}, "x" * 200),
        ({}, None),
    ],
)
async def test_the_first_usable_name_claim_counts(
    installation: Installation, fake: FakeProvider, claims: dict[str, Any], name: str | None
) -> None:
    """P1.9."""
    assert (await bootstrap(installation, fake, **claims))["name"] == name


async def test_a_missing_name_is_filled_and_never_overwritten(
    installation: Installation, fake: FakeProvider
) -> None:
    """P1.9."""
    assert (await bootstrap(installation, fake))["name"] is None
    assert (await bootstrap(installation, fake, name="Nora"))["name"] == "Nora"
    assert (await bootstrap(installation, fake, name="Somebody"))["name"] == "Nora"


async def test_only_a_verified_address_overwrites_an_address(
    installation: Installation, fake: FakeProvider
) -> None:
    """S10."""
    first = {"email": "nora@example.com", "email_verified": True}
    await bootstrap(installation, fake, **first)
    me = await bootstrap(installation, fake, email="forged@example.com")
    assert me["email"] == "nora@example.com"
    me = await bootstrap(installation, fake, email="forged@example.com", email_verified=False)
    assert me["email"] == "nora@example.com"
    me = await bootstrap(installation, fake, email="novak@example.com", email_verified="true")
    assert me["email"] == "novak@example.com"


async def test_a_taken_address_is_not_given_to_another_user(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory, world: World
) -> None:
    """S10. An unverified claim neither connects an account nor takes its address."""
    me = await bootstrap(installation, fake, email="alice@example.com")
    assert me["email"] is None
    assert me["id"] != str(world.alice.id)
    async with transaction() as session:
        alice = await session.scalar(select(User).where(User.email == "alice@example.com"))
    assert alice
    assert alice.id == world.alice.id


async def test_the_external_id_is_unique_even_if_the_subject_is_taken(
    installation: Installation, fake: FakeProvider, world: World
) -> None:
    """A subject is unique only for its issuer."""
    for taken in ("user-alice", "local-auth-user"):
        me = await bootstrap(installation, fake, sub=taken)
        assert me["clerk_user_id"] == f"{fake.issuer}#{taken}"
        assert me["id"] != str(world.alice.id)


async def test_a_missing_and_a_wrong_token_give_the_same_error(
    installation: Installation, fake: FakeProvider
) -> None:
    """P3.1. 401 for unknown callers."""
    for token in ("", "ey.not.a-token", fake.token(fake.claims("x", exp=5))):
        response = await installation.script(token).post("/auth/bootstrap")
        assert response.status_code == 401
        assert response.json()["detail"] == "Unauthorized"


async def test_a_token_that_is_not_ascii_is_unauthorized(installation: Installation) -> None:
    """S21."""
    script = installation.script("")
    script.headers = {b"Authorization": "Bearer ey\xe4.\xe4.\xe4".encode("latin-1")}
    assert (await script.post("/auth/bootstrap")).status_code == 401
