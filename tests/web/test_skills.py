"""The pages of skills: the directory, packs with their updates, and the review of installations."""

import re
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from core.http.request import MAX_BODY_SIZE
from models import Gateway, GatewaySkill, Message, MessageState, Skill, SkillPack, SkillVersion
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.skill_archives import FILES, REPOSITORY, WRITER, make_tar, make_zip
from tests.support.skill_rows import (
    make_gateway_skill,
    make_pack,
    make_request_message,
    make_skill,
    make_version,
)
from tests.support.world import World

HTMX = {"HX-Request": "true"}
OLD = "0" * 64


@pytest.fixture
async def gateway(world: World, transaction: TransactionFactory) -> Gateway:
    gateway = make_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(make_main_agent(gateway))
    return gateway


@pytest.fixture
async def skill(world: World, gateway: Gateway, transaction: TransactionFactory) -> Skill:
    """A skill whose older files are on the gateway."""
    pack = make_pack(world.tern)
    skill = make_skill(world.tern, pack)
    old = make_version(skill, {"SKILL.md": "# Old text\n"}, digest=OLD)
    async with transaction() as session:
        session.add(pack)
        await session.flush()
        session.add(skill)
        await session.flush()
        session.add_all([make_version(skill), old])
        session.add(make_gateway_skill(gateway, skill, digest=OLD, is_listed=True))
    return skill


async def list_rows(transaction: TransactionFactory, model: Any) -> list[Any]:
    async with transaction() as session:
        return list(await session.scalars(select(model)))


def upload(data: bytes, name: str = "Ours") -> dict[str, Any]:
    return {"data": {"pack_name": name}, "files": {"archive": ("pack.zip", data)}}


async def test_skills_are_listed_and_filtered(alice, skill: Skill, gateway: Gateway) -> None:
    page = (await alice.get("/skills")).text
    for text in ("Report writer", gateway.name, "Installed", "low"):
        assert text in page
    assert "Report writer" in (await alice.get("/skills?q=writ&risk=low")).text
    assert "No matching skills." in (await alice.get("/skills?risk=high")).text
    part = await alice.get("/skills?q=writ", headers=HTMX)
    assert "<html" not in part.text
    assert "q=writ" in part.text


async def test_skills_are_filtered_by_category_in_pages_of_a_size(
    alice, world: World, transaction: TransactionFactory
) -> None:
    made = [
        make_skill(world.tern, None, name=f"Skill {number:02}", source_url=f"x:{number}")
        for number in range(27)
    ]
    for skill in made:
        skill.category = "Text" if skill.name < "Skill 26" else None
    async with transaction() as session:
        session.add_all(made)

    async def count(query: str) -> int:
        return (await alice.get(f"/skills{query}")).text.count('id="skill-')

    assert await count("?category=text") == 25
    assert await count("?category=text&offset=25") == 1
    assert await count("?category=uncategorized") == 1
    assert await count("?per=7") == 25  # no size that is offered
    page = (await alice.get("/skills?category=text&per=25")).text
    assert 'href="/skills?category=text&amp;offset=25"' in page
    assert "1 to 25 of 26" in page
    page = (await alice.get("/skills?category=text&per=50")).text
    assert page.count('id="skill-') == 26
    assert 'hx-get="/skills?category=text&amp;per=50"' in page  # of the list, when it changes


async def test_without_a_gateway_a_skill_leads_to_a_new_one(
    alice, world: World, transaction: TransactionFactory
) -> None:
    skill = make_skill(world.tern, None)
    async with transaction() as session:
        session.add(skill)
    part = (await alice.get(f"/skills/{skill.id}", headers=HTMX)).text
    assert "There is no gateway yet." in part
    assert 'href="/gateways/new"' in part


async def test_a_skill_is_shown_with_its_files_and_origin(alice, skill: Skill) -> None:
    page = (await alice.get(f"/skills/{skill.id}")).text
    for text in ("# Report writer", skill.digest, skill.revision, "Update available"):
        assert str(text) in page
    part = await alice.get(f"/skills/{skill.id}", headers=HTMX)
    assert "skill-gateways" in part.text
    assert "<html" not in part.text


async def test_an_installation_is_reviewed_before_it_is_requested(
    alice, skill: Skill, gateway: Gateway, transaction: TransactionFactory
) -> None:
    path = f"/skills/{skill.id}/gateways/{gateway.id}"
    page = (await alice.get(path)).text
    assert "Old text" in page
    assert "Writes reports." in page
    stale = await alice.post(path, data={"shown": OLD})
    assert stale.status_code == 409
    assert await list_rows(transaction, Message) == []
    done = await alice.post(path, data={"shown": skill.digest})
    assert done.status_code == 303
    [message] = await list_rows(transaction, Message)
    assert f"Digest: {skill.digest}" in message.content
    page = (await alice.get(f"/skills/{skill.id}")).text
    assert "Requested" in page
    assert "Review and install" not in page
    removed = await alice.post(f"{path}/removals")
    assert removed.status_code == 303
    assert len(await list_rows(transaction, Message)) == 2
    assert "Review and install" in (await alice.get(f"/skills/{skill.id}")).text


async def test_a_failed_request_says_why(
    alice, skill: Skill, gateway: Gateway, transaction: TransactionFactory, world: World
) -> None:
    message = make_request_message(world.lead, MessageState.FAILED, last_error="It was too long.")
    async with transaction() as session:
        session.add(message)
        await session.flush()
        row = (await session.scalars(select(GatewaySkill))).one()
        row.message_id = message.id
    page = (await alice.get(f"/skills/{skill.id}")).text
    assert "Installation failed" in page
    assert "It was too long." in page


async def test_an_upload_is_reviewed_before_it_is_accepted(
    alice, transaction: TransactionFactory
) -> None:
    sent = await alice.post("/skills/packs/uploads", **upload(make_zip(FILES)))
    assert sent.status_code == 303, sent.text
    path = sent.headers["Location"]
    page = (await alice.get(path)).text
    assert "Update to review" in page
    assert await list_rows(transaction, Skill) == []
    [pack] = await list_rows(transaction, SkillPack)
    digest = page.partition('name="shown" value="')[2].partition('"')[0]
    assert (await alice.post(f"{path}/acceptances", data={"shown": OLD})).status_code == 409
    assert (await alice.post(f"{path}/acceptances", data={"shown": digest})).status_code == 303
    assert {one.name for one in await list_rows(transaction, Skill)} == {"Report writer", "Planner"}
    assert len(await list_rows(transaction, SkillVersion)) == 2
    changed = {"writer/SKILL.md": WRITER + "New\n"}
    again = await alice.post("/skills/packs/uploads", **upload(make_tar(changed)))
    assert again.headers["Location"] == path
    page = (await alice.get(path)).text
    for text in ("Changed", "Removed", "Planner"):
        assert text in page
    assert (await alice.post(f"{path}/discards")).status_code == 303
    assert "Update to review" not in (await alice.get(path)).text
    assert pack.source_url == "upload:ours"


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", "Choose a file."), (b"PK", "damaged"), (make_zip({"a.md": "x"}), "no skill")],
)
async def test_an_unusable_upload_is_explained(
    alice, transaction: TransactionFactory, data: bytes, text: str
) -> None:
    answer = await alice.post("/skills/packs/uploads", **upload(data))
    assert answer.status_code == 422
    assert text in answer.text
    assert re.search(r'name="branch"[^>]* value="main"', answer.text)
    assert re.search(r'name="pack_name"[^>]* value="Ours"', answer.text)
    assert await list_rows(transaction, SkillPack) == []


async def test_a_form_without_a_file_is_rejected(alice) -> None:
    assert (await alice.post("/skills/packs/uploads", data={"pack_name": "x"})).status_code == 422
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await alice.post("/skills/packs/uploads", content=b"--x\r\nbroken", headers=kind)
    assert answer.status_code == 422


def build_upload(content: bytes, origin: str, form_id: str) -> bytes:
    """Return the body of a form whose file comes before its hidden fields."""
    part = b"--x\r\nContent-Disposition: form-data; name="
    fields = {"form_origin": origin, "form_id": form_id, "pack_name": "Ours"}
    parts = [part + f'"{name}"\r\n\r\n{text}\r\n'.encode() for name, text in fields.items()]
    file = b'"archive"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
    return part + file + content + b"\r\n" + b"".join(parts) + b"--x--\r\n"


@pytest.mark.parametrize(
    "line",
    [
        "&form_origin={origin}&form_id={id}&",
        'name="form_origin"\r\n\r\n{origin}\r\nname="form_id"\r\n\r\n{id}\r\n',
        '\r\n--y\r\nContent-Disposition: form-data; name="form_origin"\r\n\r\n{origin}\r\n',
        '--x\r\nContent-Disposition: form-data; name="form_origin"\r\n\r\n{origin}\r\n',
    ],
)
async def test_a_file_does_not_replace_the_hidden_fields_of_its_form(
    alice, bob, transaction: TransactionFactory, line: str
) -> None:
    own, other = [
        re.findall(r'name="form_origin" value="([^"]*)"', (await client.get(path)).text)[0]
        for client, path in ((alice, "/skills/packs/new"), (bob, "/boards"))
    ]
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for file_origin, form_origin, status in ((other, own, 422), (own, other, 409)):
        text = b"a" + line.format(origin=file_origin, id="1" * 32).encode()
        rest = MAX_BODY_SIZE - len(build_upload(b"PK", form_origin, "2" * 32))
        content = b"PK" + text * (rest // len(text)) + b"a" * (rest % len(text))
        body = build_upload(content, form_origin, "2" * 32)
        assert len(body) == MAX_BODY_SIZE
        answer = await alice.post("/skills/packs/uploads", content=body, headers=kind)
        assert (answer.status_code, "damaged" in answer.text) == (status, status == 422)
    assert await list_rows(transaction, SkillPack) == []


async def test_a_pack_is_added_edited_and_deleted(alice, transaction: TransactionFactory) -> None:
    assert "No packs yet." in (await alice.get("/skills/packs")).text
    bad = await alice.post("/skills/packs", data={"source_url": "https://gitlab.com/a/b"})
    assert bad.status_code == 400
    assert "https://github.com/owner/name" in bad.text
    added = await alice.post("/skills/packs", data={"source_url": REPOSITORY})
    path = added.headers["Location"]
    fields = {"source_url": REPOSITORY, "branch": "v2", "name": "Ours", "description": "x"}
    assert (await alice.post(f"{path}/changes", data=fields)).status_code == 303
    [pack] = await list_rows(transaction, SkillPack)
    assert (pack.name, pack.branch, pack.extra) == ("Ours", "v2", {})
    assert "Ours" in (await alice.get("/skills/packs")).text
    assert (await alice.post(f"{path}/deletions")).status_code == 303
    assert await list_rows(transaction, SkillPack) == []


async def test_a_skill_is_added_by_its_address_and_deleted(
    alice, transaction: TransactionFactory
) -> None:
    assert (await alice.post("/skills", data={"source_url": "javascript:x"})).status_code == 422
    added = await alice.post("/skills", data={"source_url": "https://skills.example/write"})
    path = added.headers["Location"]
    assert "nobody has reviewed them" in (await alice.get(path)).text
    assert (await alice.post(f"{path}/deletions")).status_code == 303
    assert await list_rows(transaction, Skill) == []


async def test_only_admins_of_the_organization_see_skills(
    bob, charlie, skill: Skill, gateway: Gateway, transaction: TransactionFactory
) -> None:
    [pack] = await list_rows(transaction, SkillPack)
    own = f"/skills/{skill.id}"
    installation, pack_path = f"{own}/gateways/{gateway.id}", f"/skills/packs/{pack.id}"
    forms = ("fetches", "acceptances", "discards", "deletions", "changes")
    requests = [
        *[("GET", path) for path in (own, installation, pack_path)],
        *[("POST", path) for path in (installation, f"{installation}/removals")],
        *[("POST", f"{path}/deletions") for path in (own,)],
        *[("POST", f"{pack_path}/{name}") for name in forms],
    ]
    lists = [("GET", "/skills"), ("GET", "/skills/packs"), ("GET", "/skills/packs/new")]
    for method, path in [*requests, *lists, ("POST", "/skills"), ("POST", "/skills/packs")]:
        assert (await send(bob, method, path)).status_code == 403, path
    for method, path in requests:
        assert (await send(charlie, method, path)).status_code in (404, 400), path
    assert (await bob.post("/skills/packs/uploads", **upload(make_zip(FILES)))).status_code == 403
    assert await list_rows(transaction, Message) == []


async def send(client: httpx2.AsyncClient, method: str, path: str) -> httpx2.Response:
    data = {"source_url": REPOSITORY} if method == "POST" else None
    return await client.request(method, path, data=data)
