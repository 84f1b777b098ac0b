"""Migrations complete stored rows: webhooks, notifications, users, boards, approvals, requests."""

from datetime import timedelta
from uuid import UUID

from alembic import command
from sqlalchemy import func, select, update

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import (
    Approval,
    ApprovalStatus,
    BoardShortcut,
    EventType,
    GatewayRequest,
    Notification,
    NotificationChannel,
    NotificationKind,
    PolicyVerdict,
    ReadKind,
    RequestKind,
    User,
    WebhookEndpoint,
    new_id,
)
from services import approvals, boards, presence, sidebar
from services.approvals import ApprovalCreate
from services.events import record_event
from tests.support.api_objects import make_channel
from tests.support.board_rows import make_notification, make_task
from tests.support.gateway_rows import make_gateway, make_gateway_request
from tests.support.memory_rows import create_group_of
from tests.support.migration import migrate
from tests.support.people_rows import make_user
from tests.support.webhook_rows import make_endpoint
from tests.support.world import World

BEFORE = "0057"


async def migrate_again(settings: Settings, before: str = BEFORE) -> None:
    await migrate(settings.sqlalchemy_url, command.downgrade, before)
    await migrate(settings.sqlalchemy_url, command.upgrade, "head")


async def test_a_webhook_belongs_to_its_creator_or_to_an_owner(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world
    created, unknown = (make_endpoint(world.tern) for _ in range(2))
    async with isolated_transaction() as session:
        session.add_all([created, unknown])
        await session.flush()
        await record_event(
            session,
            EventType.WEBHOOK_ENDPOINT_CREATED,
            world.dana,
            organization_id=world.tern.id,
            data={"endpoint_id": str(created.id), "name": "x"},
        )
    await migrate_again(isolated_settings)
    async with isolated_transaction() as session:
        rows = await session.execute(select(WebhookEndpoint.id, WebhookEndpoint.owner_user_id))
        assert {id: owner_id for id, owner_id in rows} == {
            created.id: world.dana.id,
            unknown.id: world.alice.id,
        }


async def test_notifications_get_their_groups_and_invitations_their_addresses(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world
    async with isolated_transaction() as session:
        group = await create_group_of(session, await session.merge(world.board))
        mention = make_notification(world.board, world.bob, data={"group_id": str(group.id)})
        invitation = make_notification(
            world.board, world.charlie, kind=NotificationKind.INVITATION, key=str(world.tern.id)
        )
        other = make_notification(world.board, world.alice)
        session.add_all([mention, invitation, other])
    await migrate_again(isolated_settings)
    async with isolated_transaction() as session:
        found = {one.id: one for one in await session.scalars(select(Notification))}
    assert found[mention.id].board_group_id == group.id
    assert found[other.id].board_group_id is None
    assert found[invitation.id].key == f"{world.tern.id}:charlie@example.com"


async def test_channels_are_paused_by_users_unless_a_subscription_ended_before(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    at = now()
    states = [
        ((None, None, None), False),
        ((at, None, None), True),
        ((at, at, "subscription_ended"), False),
        ((at, at - timedelta(days=1), "subscription_ended"), False),
        ((at, at + timedelta(days=1), "subscription_ended"), True),
        ((at, at - timedelta(days=1), "unreachable"), True),
    ]
    expected = {}
    async with isolated_transaction() as session:
        for (paused_at, failing_since, error), is_paused_by_user in states:
            channel = make_channel(isolated_world)
            channel.id, channel.last_error = new_id(), error
            channel.paused_at, channel.failing_since = paused_at, failing_since
            session.add(channel)
            expected[channel.id] = is_paused_by_user
    await migrate_again(isolated_settings)
    async with isolated_transaction() as session:
        found = await session.scalars(select(NotificationChannel))
        assert {one.id: one.is_paused_by_user for one in found} == expected


async def test_each_user_works_in_one_of_their_organizations(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """An older version stored the organization when a page or a call needed it."""
    world, nora = isolated_world, make_user("Nora")
    async with isolated_transaction() as session:
        session.add(nora)
        stale = {world.alice.id: None, world.charlie.id: world.tern.id}
        for user_id, organization_id in stale.items():
            changed = update(User).where(User.id == user_id)
            await session.execute(changed.values(active_organization_id=organization_id))
    await migrate_again(isolated_settings)
    async with isolated_transaction() as session:
        found = dict((await session.execute(select(User.id, User.active_organization_id))).all())
    assert found[world.alice.id] == found[world.bob.id] == world.tern.id
    assert found[world.charlie.id] == world.plover.id
    assert found[nora.id] is None


async def test_the_hash_of_a_request_is_that_of_its_event(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """The stored hash may be of content that was approved later."""
    world = isolated_world
    requested, rebound = "a" * 64, "b" * 64
    expected: dict[UUID, str | None] = {}
    events: list[tuple[str, dict[str, object] | None, str | None]] = [
        (requested, {"action_hash": requested}, requested),
        (rebound, {"action_hash": requested}, requested),
        (rebound, {"action_hash": None}, None),  # from before hashes were stored
        (rebound, None, None),
    ]
    async with isolated_transaction() as session:
        for stored, recorded, hash in events:
            [approval] = world.make_approval(action_hash=stored, policy_verdict=PolicyVerdict())
            session.add(await session.merge(approval))
            expected[approval.id] = hash
            if recorded is not None:
                await record_event(
                    session,
                    EventType.APPROVAL_REQUESTED,
                    None,
                    organization_id=world.tern.id,
                    board=world.board,
                    approval=approval,
                    data=recorded,
                )
    await migrate_again(isolated_settings)
    async with isolated_transaction() as session:
        found = await session.execute(select(Approval.id, Approval.requested_hash))
        assert {id: hash for id, hash in found} == expected


QUESTION = '[{"question":"Which  colour?","questionId":"colour"}]'
UNREADABLE = r'[{"question":"Is it \u0000?","questionId":"colour"}]'


async def test_gateway_requests_get_titles_and_whether_something_is_masked(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world
    gateway = make_gateway(world.tern)
    rows = [
        ({"exact": "ls\n -l " + "x" * 300, "sha256": "a" * 64}, "ls -l " + "x" * 194, False),
        ({"exact": "login mc_agent_***", "sha256": "b" * 64}, "login mc_agent_***", True),
        ({"exact": "ls", "cwd": "/mc_agent_***", "sha256": "c" * 64}, "ls", True),
        ({"exact": "echo mc_agent_***"}, "echo mc_agent_***", False),  # the hash is of that text
        ({"exact": QUESTION, "kind": RequestKind.QUESTION}, "Which colour?", False),
        ({"exact": UNREADABLE, "kind": RequestKind.QUESTION}, UNREADABLE, False),
    ]
    expected = {}
    async with isolated_transaction() as session:
        session.add(gateway)
        await session.flush()
        for fields, title, is_masked in rows:
            request = make_gateway_request(gateway, world.worker, **fields)
            session.add(request)
            expected[request.id] = (title, is_masked)
    await migrate_again(isolated_settings, "0078")
    columns = (GatewayRequest.id, GatewayRequest.title, GatewayRequest.is_masked)
    async with isolated_transaction() as session:
        found = await session.execute(select(*columns))
        assert {id: (title, is_masked) for id, title, is_masked in found} == expected


async def test_pending_requests_get_the_hash_by_which_equal_ones_are_found(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world, payload = isolated_world, {"b": [1, "ü"], "a": {"z": None, "y": 1.50}, "reason": "<&"}
    old, decided, empty = (make_task(world.board, name) for name in ("Old", "Decided", "Empty"))
    async with isolated_transaction() as session:
        for task, fields in [
            (old, {"payload": payload}),
            (decided, {"payload": payload, "status": ApprovalStatus.APPROVED}),
            (empty, {"payload": None}),
        ]:
            rows = world.make_approval(task, action_type="deploy", **fields)
            session.add_all([task, *rows])
        await session.flush()
        board = await boards.lock_board(session, world.worker, world.board.id)
        draft = ApprovalCreate(action_type="deploy", confidence=90, payload=payload)
        new = (await approvals.request_approval(session, world.worker, board, draft)).approval
    await migrate_again(isolated_settings, "0088")
    async with isolated_transaction() as session:
        rows = await session.execute(select(Approval.task_id, Approval.equality_hash))
        found = dict(rows.all())
    assert new.equality_hash
    assert found == {None: new.equality_hash, old.id: new.equality_hash} | dict.fromkeys(
        (decided.id, empty.id)
    )


async def test_the_boards_that_a_user_has_read_last_are_recent(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world
    async with isolated_transaction() as session:
        for board in (world.garden, world.board):
            for kind in (ReadKind.CHAT, ReadKind.COMMENTS):
                await presence.move_read_marker(session, world.alice, board, kind)
    await migrate_again(isolated_settings, before="0092")
    async with isolated_transaction() as session:
        shown = await sidebar.load_sidebar(session, world.alice_member)
        stored = await session.scalar(select(func.count()).select_from(BoardShortcut))
    assert (shown.last_opened_id, shown.pinned, stored) == (world.board.id, [], 2)
