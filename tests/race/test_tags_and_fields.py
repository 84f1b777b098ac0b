"""Two admins who want the same name at once, and tags that go while they are put on tasks."""

import asyncio
from contextlib import suppress

from kit.errors import Conflict, NotFound
from services import boards, tags, tasks

ROUNDS = 20


async def tagged(transaction, member, slug):
    """Create a tag in a transaction of one's own, and return how that ended."""
    try:
        async with transaction() as session:
            await tags.create(session, member, tags.TagDraft(name=slug))
    except Conflict as refusal:
        return refusal.code
    return None


async def test_of_two_tags_with_one_slug_exactly_one_is_made(real_transaction, real_world) -> None:
    member = real_world.alices
    for number in range(ROUNDS):
        names = [f"Tag {number}", f"tag-{number}"]
        codes = await asyncio.gather(*[tagged(real_transaction, member, name) for name in names])
        assert set(codes) == {None, "tag_slug_taken"}


async def test_a_tag_that_is_deleted_while_a_task_gets_it_is_no_trouble(
    real_transaction, real_world
) -> None:
    world = real_world

    async def put_on(tag_id):
        with suppress(NotFound):
            async with real_transaction() as session:
                board = await boards.hold(session, world.alice, world.board.id)
                draft = tasks.TaskDraft(title="Write", tag_ids=[tag_id])
                await tasks.create(session, world.alice, board, draft)

    async def delete(tag_id):
        async with real_transaction() as session:
            held = await tags.hold(session, world.alices, tag_id)
            await tags.delete(session, world.alices, held.tag)

    for number in range(ROUNDS):
        async with real_transaction() as session:
            draft = tags.TagDraft(name=f"Tag {number}")
            tag_id = (await tags.create(session, world.alices, draft)).tag.id
        await asyncio.gather(put_on(tag_id), delete(tag_id), put_on(tag_id))
