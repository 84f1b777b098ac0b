"""Who calls, by the claims of a provider's token (contract, people-and-boards 1.9 and 3.1)."""

from typing import Any

import pytest
from sqlalchemy import select

from models import User
from tests.conftest import Transaction
from tests.oidc.conftest import House, fake, house, houses
from tests.oidc.fake import FakeProvider
from tests.world import World

__all__ = ["fake", "house", "houses"]

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


async def bootstrapped(house: House, fake: FakeProvider, **claims: Any) -> dict[str, Any]:
    """Return what a person is told of themselves who comes with these claims."""
    script = house.script(fake.token(fake.claims(claims.pop("sub", "user_2abc"), **claims)))
    answer = await script.post("/auth/bootstrap")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_bootstrap_makes_the_person_whom_the_claims_describe(
    house: House, fake: FakeProvider
) -> None:
    """P3.1. The subject is the external id."""
    me = await bootstrapped(house, fake, email="Nora@Example.com ", name=" Nora Novak ")
    assert set(me) == FIELDS
    assert me["clerk_user_id"] == "user_2abc"
    assert (me["email"], me["name"]) == ("nora@example.com", "Nora Novak")
    assert me["is_super_admin"] is False
    assert await bootstrapped(house, fake) == me


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
async def test_the_first_address_among_the_claims_counts(
    house: House, fake: FakeProvider, claims: dict[str, Any], email: str | None
) -> None:
    """P1.9."""
    assert (await bootstrapped(house, fake, **claims))["email"] == email


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
async def test_the_first_name_among_the_claims_counts(
    house: House, fake: FakeProvider, claims: dict[str, Any], name: str | None
) -> None:
    """P1.9."""
    assert (await bootstrapped(house, fake, **claims))["name"] == name


async def test_a_name_is_filled_and_never_overwritten(house: House, fake: FakeProvider) -> None:
    """P1.9."""
    assert (await bootstrapped(house, fake))["name"] is None
    assert (await bootstrapped(house, fake, name="Nora"))["name"] == "Nora"
    assert (await bootstrapped(house, fake, name="Somebody"))["name"] == "Nora"


async def test_an_address_is_overwritten_only_by_one_that_is_verified(
    house: House, fake: FakeProvider
) -> None:
    """S10."""
    first = {"email": "nora@example.com", "email_verified": True}
    await bootstrapped(house, fake, **first)
    me = await bootstrapped(house, fake, email="forged@example.com")
    assert me["email"] == "nora@example.com"
    me = await bootstrapped(house, fake, email="forged@example.com", email_verified=False)
    assert me["email"] == "nora@example.com"
    me = await bootstrapped(house, fake, email="novak@example.com", email_verified="true")
    assert me["email"] == "novak@example.com"


async def test_an_address_that_is_somebodys_is_not_given_to_another(
    house: House, fake: FakeProvider, transaction: Transaction, world: World
) -> None:
    """S10. What a claim says unverified neither joins an account nor takes its address."""
    me = await bootstrapped(house, fake, email="alice@example.com")
    assert me["email"] is None
    assert me["id"] != str(world.alice.id)
    async with transaction() as session:
        alice = await session.scalar(select(User).where(User.email == "alice@example.com"))
    assert alice
    assert alice.id == world.alice.id


async def test_the_external_id_is_ones_own_even_where_the_subject_is_taken(
    house: House, fake: FakeProvider, world: World
) -> None:
    """The subject means something only beside its issuer."""
    for taken in ("user-alice", "local-auth-user"):
        me = await bootstrapped(house, fake, sub=taken)
        assert me["clerk_user_id"] == f"{fake.issuer}#{taken}"
        assert me["id"] != str(world.alice.id)


async def test_no_token_and_a_bad_one_are_the_same(house: House, fake: FakeProvider) -> None:
    """P3.1. 401 where nobody is known."""
    for token in ("", "ey.not.a-token", fake.token(fake.claims("x", exp=5))):
        answer = await house.script(token).post("/auth/bootstrap")
        assert answer.status_code == 401
        assert answer.json()["detail"] == "Unauthorized"


async def test_a_bearer_that_is_not_ascii_is_wrong_and_breaks_nothing(house: House) -> None:
    """S21."""
    script = house.script("")
    script.headers = {b"Authorization": "Bearer ey\xe4.\xe4.\xe4".encode("latin-1")}
    assert (await script.post("/auth/bootstrap")).status_code == 401
