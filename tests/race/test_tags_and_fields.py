"""Two admins who want the same name at once, and tags that go while they are put on tasks."""

import asyncio
from contextlib import suppress

from kit.errors import Conflict, Invalid, NotFound
from services import boards, custom_fields, tags, tasks

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
    """R6."""
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


async def defined(transaction, world, key):
    """Define a field of Launch in a transaction of one's own, and return how that ended."""
    try:
        async with transaction() as session:
            draft = custom_fields.FieldDraft(field_key=key, board_ids=[world.board.id])
            await custom_fields.create(session, world.alices, draft)
    except Conflict as refusal:
        return refusal.code
    return None


async def test_of_two_fields_with_one_key_exactly_one_is_made(real_transaction, real_world) -> None:
    for number in range(ROUNDS):
        codes = await asyncio.gather(
            *[defined(real_transaction, real_world, f"key {number}") for _ in range(2)]
        )
        assert set(codes) == {None, "custom_field_key_taken"}


async def given(transaction, world, key):
    """Give a new task a value in a transaction of one's own, and return how that ended."""
    try:
        async with transaction() as session:
            board = await boards.hold(session, world.alice, world.board.id)
            draft = tasks.TaskDraft(title="Write", custom_field_values={key: "large"})
            await tasks.create(session, world.alice, board, draft)
    except Invalid as refusal:
        return refusal.code
    return None


async def edited(transaction, world, field_id, edit):
    """Edit a field in a transaction of one's own, and return how that ended."""
    try:
        async with transaction() as session:
            field = await custom_fields.hold(session, world.alices, field_id)
            await edit(session, world.alices, field)
    except Conflict as refusal:
        return refusal.code
    return None


async def retype(session, member, field):
    await custom_fields.change(session, member, field, {"field_type": "integer"})


async def test_a_value_fits_its_field_whatever_happens_to_it_meanwhile(
    real_transaction, real_world
) -> None:
    """Either the value was first, and the change is refused, or the other way round."""
    world = real_world
    for number in range(ROUNDS):
        key, edit = f"key {number}", (retype, custom_fields.delete)[number % 2]
        async with real_transaction() as session:
            draft = custom_fields.FieldDraft(field_key=key, board_ids=[world.board.id])
            field_id = (await custom_fields.create(session, world.alices, draft)).field.id
        codes = await asyncio.gather(
            given(real_transaction, world, key), edited(real_transaction, world, field_id, edit)
        )
        assert codes.count(None) == 1
