"""The contract's checklist (people-and-boards 7), point 42: tags."""

from typing import Any

import pytest

from models import new_id
from tests.support.api_fixtures import Client
from tests.support.world import World


async def create_tag(client: Client, **fields: Any) -> dict[str, Any]:
    """Create a tag and return it."""
    response = await client.post("/tags", json={"name": "Words", **fields})
    assert response.status_code == 200, response.text
    tag: dict[str, Any] = response.json()
    return tag


async def test_a_tag_has_all_fields_of_the_contract(alice: Client, world: World) -> None:
    """3.4."""
    tag = await create_tag(alice, name="  Needs words! ", description="Before it ships")
    assert tag == {
        "id": tag["id"],
        "organization_id": str(world.tern.id),
        "name": "Needs words!",
        "slug": "needs-words",
        "color": "9e9e9e",
        "description": "Before it ships",
        "task_count": 0,
        "created_at": tag["created_at"],
        "updated_at": tag["created_at"],
    }
    assert (await alice.get(f"/tags/{tag['id']}")).json() == tag


@pytest.mark.parametrize(
    ("given", "slug"),
    [
        ({"name": "Ärger & Café"}, "rger-caf"),
        ({"name": "ΩΩ"}, "tag"),
        ({"name": "Words", "slug": " __Big  Words__ "}, "big-words"),
        ({"name": "Words", "slug": "  "}, "words"),
        ({"name": "Words", "slug": None}, "words"),
        ({"name": "Words", "slug": "!!"}, "tag"),
    ],
)
async def test_a_slug_has_lower_case_letters_digits_and_hyphens(
    alice: Client, given: dict[str, Any], slug: str
) -> None:
    assert (await create_tag(alice, **given))["slug"] == slug


async def test_slugs_are_unique_in_an_organization(
    alice: Client, charlie: Client, world: World
) -> None:
    """Point 42. R6: the constraint is violated, and the answer is not a 500."""
    await create_tag(alice, name="Big words")
    clash = await alice.post("/tags", json={"name": "big  WORDS"})
    assert clash.status_code == 409
    assert isinstance(clash.json()["detail"], str)
    assert clash.json()["code"] == "tag_slug_taken"
    other = await create_tag(alice, name="Small words")
    moved = await alice.patch(f"/tags/{other['id']}", json={"slug": "big-words"})
    assert moved.status_code == 409
    assert (await alice.get(f"/tags/{other['id']}")).json() == other
    assert (await create_tag(charlie, name="Big words"))["organization_id"] == str(world.plover.id)


@pytest.mark.parametrize(
    ("given", "stored"), [(" #3B82F6 ", "3b82f6"), ("ABCDEF", "abcdef"), ("000000", "000000")]
)
async def test_a_colour_is_stored_as_six_lower_case_hex_digits(
    alice: Client, given: str, stored: str
) -> None:
    """Point 42."""
    tag = await create_tag(alice, color=given)
    assert tag["color"] == stored
    changed = (await alice.patch(f"/tags/{tag['id']}", json={"color": given.lower()})).json()
    assert changed["color"] == stored


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": None},
        {"name": " "},
        {"name": "x" * 201},
        {"name": "x\x00"},
        {"slug": "x" * 201},
        {"slug": 5},
        {"color": None},
        {"color": ""},
        {"color": "red"},
        {"color": "##123456"},
        {"color": "１２３４５６"},  # noqa: RUF001
        {"color": "1234567"},
        {"description": "x" * 100_001},
    ],
)
async def test_invalid_values_are_rejected_with_their_field(
    alice: Client, wrong: dict[str, Any]
) -> None:
    """C8: null and all other invalid values give a 422."""
    tag = await create_tag(alice)
    for response in (
        await alice.patch(f"/tags/{tag['id']}", json=wrong),
        await alice.post("/tags", json={"name": "Other", **wrong}),
    ):
        assert response.status_code == 422, response.text
        assert response.json()["detail"][0]["loc"][:2] == ["body", *wrong]
    assert (await alice.get("/tags")).json()["items"] == [tag]


async def test_an_update_changes_the_sent_fields_and_needs_one(alice: Client) -> None:
    """3.4."""
    tag = await create_tag(alice, description="Old")
    path = f"/tags/{tag['id']}"
    for nothing in ({}, {"nonsense": 1}, None):
        assert (await alice.patch(path, json=nothing)).status_code == 422
    assert (await alice.patch(path)).status_code == 422
    renamed = (await alice.patch(path, json={"name": "Signs"})).json()
    assert (renamed["name"], renamed["slug"], renamed["description"]) == ("Signs", "words", "Old")
    followed = (await alice.patch(path, json={"slug": "", "description": None})).json()
    assert (followed["slug"], followed["description"]) == ("signs", None)
    both = (await alice.patch(path, json={"slug": None, "name": "Marks"})).json()
    assert both["slug"] == "marks"


async def test_tags_have_the_number_of_their_tasks(alice: Client, world: World) -> None:
    """Point 42. C17: in the list, for one tag, and in the response to an update."""
    one, other = await create_tag(alice, name="Zebra"), await create_tag(alice, name="apple")
    tasks = f"/boards/{world.board.id}/tasks"
    task = {"title": "Write", "tag_ids": [one["id"], other["id"]]}
    first = (await alice.post(tasks, json=task)).json()
    second = (await alice.post(tasks, json={"title": "Write", "tag_ids": [one["id"]]})).json()
    listed = (await alice.get("/tags")).json()
    assert [(tag["name"], tag["task_count"]) for tag in listed["items"]] == [
        ("apple", 1),
        ("Zebra", 2),
    ]
    assert (listed["total"], listed["limit"], listed["offset"]) == (2, 200, 0)
    assert [tag["name"] for tag in first["tags"]] == ["Zebra", "apple"]
    changed = (await alice.patch(f"/tags/{one['id']}", json={"name": "Lion"})).json()
    assert changed["task_count"] == 2
    shown = (await alice.get(f"{tasks}/{first['id']}")).json()
    assert [tag["name"] for tag in shown["tags"]] == ["Lion", "apple"]
    assert shown["updated_at"] == first["updated_at"]
    assert (await alice.delete(f"/tags/{one['id']}")).json() == {"ok": True}
    assert (await alice.get(f"{tasks}/{second['id']}")).json()["tag_ids"] == []
    assert (await alice.get(f"/tags/{one['id']}")).status_code == 404
    page = (await alice.get("/tags?limit=1&offset=1")).json()
    assert (page["items"], page["total"]) == ([], 1)


async def test_members_can_read_tags_and_admins_can_change_them(
    bob: Client, dana: Client, worker: Client, alice: Client
) -> None:
    """Section 2: only users read tags, and only admins change them."""
    tag = await create_tag(dana)
    path = f"/tags/{tag['id']}"
    assert (await bob.get(path)).json() == tag
    for response in (
        await bob.post("/tags", json={"name": "Mine"}),
        await bob.patch(path, json={"name": "Mine"}),
        await bob.delete(path),
    ):
        assert response.status_code == 403
    assert (await worker.get("/tags")).status_code == 401
    assert (await alice.get("/tags")).json()["items"] == [tag]


async def test_tags_of_another_organization_are_not_found(alice: Client, charlie: Client) -> None:
    """S24: 404, as for an unknown id."""
    tag = await create_tag(alice)
    for id in (tag["id"], str(new_id())):
        for response in (
            await charlie.get(f"/tags/{id}"),
            await charlie.patch(f"/tags/{id}", json={"name": "Mine"}),
            await charlie.patch(f"/tags/{id}", json={"name": 5}),
            await charlie.delete(f"/tags/{id}"),
        ):
            assert response.status_code == 404
            assert response.json()["detail"] == "There is no such tag."
    assert (await charlie.get("/tags")).json()["total"] == 0
    assert (await alice.get("/tags")).json()["items"] == [tag]
