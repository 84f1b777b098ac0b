"""Forms of skills and packs: limits of addresses, and edits at the same time."""

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from core.errors import Invalid
from models import Skill
from services.skills.sources import MAX_SKILL_ADDRESS_SIZE, check_skill_url

START = "https://skills.example/"
SIGNS = "".join(chr(0x4E00 + number * 7_919 % 20_000) for number in range(1_200))
FITTING = START + SIGNS[: (MAX_SKILL_ADDRESS_SIZE - len(START)) // 3]


async def test_the_address_of_a_skill_fits_into_an_index(
    alice: httpx2.AsyncClient, transaction: TransactionFactory
) -> None:
    """The index limits its bytes; mixed characters cannot be compressed."""
    answer = await alice.post("/skills", data={"source_url": START + SIGNS})
    assert answer.status_code == 422
    assert "The address is too long." in answer.text
    assert (await alice.post("/skills", data={"source_url": FITTING})).status_code == 303
    async with transaction() as session:
        assert list(await session.scalars(select(Skill.source_url))) == [FITTING]
    with pytest.raises(Invalid):
        check_skill_url(f"{FITTING}xxx")
