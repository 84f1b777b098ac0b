"""Concurrent changes of tags and custom fields, and of the tasks that have them."""

import asyncio
from contextlib import suppress

from core.errors import Conflict, Invalid, NotFound
from services import boards, custom_fields, tags, tasks
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.rounds import ROUNDS, run_rounds


async def try_create_tag(transaction, member, slug):
    """Create a tag in its own transaction and return the code of the conflict, if any."""
    try:
        async with transaction() as session:
            await tags.create_tag(session, member, tags.TagCreate(name=slug))
    except Conflict as error:
        return error.code
    return None


async def test_exactly_one_of_two_tags_with_the_same_slug_is_created(
    isolated_transaction, isolated_world
) -> None:
    """R6."""
    member = isolated_world.alice_member

    async def race(number):
        names = [f"Tag {number}", f"tag-{number}"]
        codes = await asyncio.gather(
            *[try_create_tag(isolated_transaction, member, name) for name in names]
        )
        assert set(codes) == {None, "tag_slug_taken"}

    await run_rounds(range(ROUNDS), race)


async def test_deleting_a_tag_while_it_is_added_to_a_task_succeeds(
    isolated_transaction, isolated_world
) -> None:
    world = isolated_world

    async def create_task_with(tag_id):
        with suppress(NotFound):
            async with isolated_transaction() as session:
                board = await boards.lock_board(session, world.alice, world.board.id)
                draft = tasks.TaskCreate(title="Write", tag_ids=[tag_id])
                await tasks.create_task(session, world.alice, board, draft)

    async def delete(tag_id):
        async with isolated_transaction() as session:
            locked = await tags.lock_tag(session, world.alice_member, tag_id)
            await tags.delete_tag(session, world.alice_member, locked.tag)

    async def race(number):
        async with isolated_transaction() as session:
            draft = tags.TagCreate(name=f"Tag {number}")
            tag_id = (await tags.create_tag(session, world.alice_member, draft)).tag.id
        await asyncio.gather(create_task_with(tag_id), delete(tag_id), create_task_with(tag_id))

    await run_rounds(range(ROUNDS), race)


async def test_tasks_are_restored_without_a_tag_that_is_deleted_meanwhile(
    isolated_transaction, isolated_world
) -> None:
    """The task with the tag is restored after another one."""
    world = isolated_world
    async with isolated_transaction() as session:
        draft = tags.TagCreate(name="Urgent")
        tag_id = (await tags.create_tag(session, world.alice_member, draft)).tag.id
        board = await boards.lock_board(session, world.alice, world.board.id)
        drafts = [tasks.TaskCreate(title="One", tag_ids=[tag_id]), tasks.TaskCreate(title="Two")]
        ids = [
            (await tasks.create_task(session, world.alice, board, one)).task.id for one in drafts
        ]
    for id in ids:
        async with isolated_transaction() as session:
            board = await boards.lock_board(session, world.alice, world.board.id)
            await tasks.delete_task(session, world.alice, board, id)

    async def restore():
        async with isolated_transaction() as session:
            board = await boards.lock_board(session, world.alice, world.board.id)
            return await tasks.restore_tasks(session, world.alice, board, ids)

    async with isolated_transaction() as session:
        locked = await tags.lock_tag(session, world.alice_member, tag_id)
        restoring = asyncio.create_task(restore())
        await wait_for_lock_waiter(isolated_transaction, unless=restoring)
        await tags.delete_tag(session, world.alice_member, locked.tag)
    assert [one.error for one in await restoring] == [None, None]
    async with isolated_transaction() as session:
        details = [await tasks.get_task_detail(session, world.board, id) for id in ids]
    assert [one.tag_ids for one in details] == [[], []]


async def try_create_field(transaction, world, key):
    """Create a field in its own transaction and return the code of the conflict, if any."""
    try:
        async with transaction() as session:
            draft = custom_fields.CustomFieldCreate(field_key=key, board_ids=[world.board.id])
            await custom_fields.create_custom_field(session, world.alice_member, draft)
    except Conflict as error:
        return error.code
    return None


async def test_exactly_one_of_two_fields_with_the_same_key_is_created(
    isolated_transaction, isolated_world
) -> None:
    async def race(number):
        codes = await asyncio.gather(
            *[
                try_create_field(isolated_transaction, isolated_world, f"key {number}")
                for _ in range(2)
            ]
        )
        assert set(codes) == {None, "custom_field_key_taken"}

    await run_rounds(range(ROUNDS), race)


async def try_create_task(transaction, world, key):
    """Create a task with a value in its own transaction and return the error code, if any."""
    try:
        async with transaction() as session:
            board = await boards.lock_board(session, world.alice, world.board.id)
            draft = tasks.TaskCreate(title="Write", custom_field_values={key: "large"})
            await tasks.create_task(session, world.alice, board, draft)
    except Invalid as error:
        return error.code
    return None


async def try_edit(transaction, world, field_id, edit):
    """Edit a field in its own transaction and return the code of the conflict, if any."""
    try:
        async with transaction() as session:
            field = await custom_fields.lock_custom_field(session, world.alice_member, field_id)
            await edit(session, world.alice_member, field)
    except Conflict as error:
        return error.code
    return None


async def retype(session, member, field):
    fields = custom_fields.CustomFieldUpdate.of(field_type="integer")
    await custom_fields.update_custom_field(session, member, field, fields)


async def test_concurrent_changes_keep_values_valid_for_their_field(
    isolated_transaction, isolated_world
) -> None:
    """Either the value is stored first and the field change fails, or the other way round."""
    world = isolated_world

    async def race(number):
        key, edit = f"key {number}", (retype, custom_fields.delete_custom_field)[number % 2]
        async with isolated_transaction() as session:
            draft = custom_fields.CustomFieldCreate(field_key=key, board_ids=[world.board.id])
            field_id = (
                await custom_fields.create_custom_field(session, world.alice_member, draft)
            ).field.id
        codes = await asyncio.gather(
            try_create_task(isolated_transaction, world, key),
            try_edit(isolated_transaction, world, field_id, edit),
        )
        assert codes.count(None) == 1

    await run_rounds(range(ROUNDS), race)
