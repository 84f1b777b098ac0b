"""Messages wait for the end of a pause and for their agent, but not indefinitely."""

import asyncio
from datetime import timedelta

from core.clock import now
from core.config.settings import Settings
from core.db.listen import PostgresListener
from models import Board, DesiredState, ProvisioningStep
from services import boards, memory, messages
from tests.support.delivery_faults import (
    ACKNOWLEDGED,
    FAILED,
    NOTIFY_FAILED,
    QUEUED,
    SENT,
    fail_always,
    wait_a_moment,
)
from tests.support.delivery_gateway import DeliveryGateway, session_key_of
from tests.support.fake_gateway import ErrorResponse
from tests.support.gateway_rows import make_main_agent


async def test_messages_are_sent_immediately_when_enqueued_or_resumed(
    delivery: DeliveryGateway, isolated_settings: Settings
) -> None:
    """No message waits for the poll interval: changes and ends of turns wake the worker."""
    listener, board = PostgresListener(), delivery.world.board
    listening = asyncio.create_task(listener.listen(isolated_settings.dsn))
    try:
        await listener.connected.wait()
        async with delivery.run_worker(listener, poll_interval=60):
            await wait_a_moment()
            await delivery.enqueue("BOARD CHAT\nOne.")
            await delivery.wait_for_states(ACKNOWLEDGED)
            await send_chat(delivery, board, "/pause")
            await delivery.enqueue("BOARD CHAT\nTwo.")
            await delivery.wait_for_states(ACKNOWLEDGED, ACKNOWLEDGED, QUEUED)
            await send_chat(delivery, board, "/resume")
            await delivery.wait_for_states(*[ACKNOWLEDGED] * 4)
    finally:
        listening.cancel()
    worker = session_key_of(delivery.world.worker)
    one, two = "BOARD CHAT\nOne.", "BOARD CHAT\nTwo."
    assert delivery.fake.messages_in(worker) == [one, "/pause", "/resume", two]


async def send_chat(delivery: DeliveryGateway, board: Board, content: str) -> None:
    """Post a chat message as Alice."""
    async with delivery.transaction() as session:
        locked = await boards.lock_board(session, delivery.world.alice, board.id)
        draft = memory.NoteCreate(content=content, tags=["chat"])
        scope = memory.board_scope(locked)
        await memory.create_note(session, delivery.world.alice, scope, draft, base_url="http://mc")


async def test_a_paused_board_receives_only_commands_and_later_all_messages(
    delivery: DeliveryGateway,
) -> None:
    board = delivery.world.board
    await delivery.update_row(board, paused_at=now())
    await delivery.enqueue("BOARD CHAT\nOne.", "/pause", "BOARD CHAT\nTwo.")
    async with delivery.run_worker():
        await delivery.wait_for_states(QUEUED, ACKNOWLEDGED, QUEUED)
        await wait_a_moment()
        assert delivery.fake.received_messages == ["/pause"]
        waiting = await delivery.list_messages()
        assert [one.attempts for one in waiting] == [0, 1, 0]
        await delivery.enqueue("/resume")
        await delivery.wait_for_states(QUEUED, ACKNOWLEDGED, QUEUED, ACKNOWLEDGED)
        await delivery.update_row(board, paused_at=None)
        await delivery.wait_for_states(*[ACKNOWLEDGED] * 4)
    assert delivery.fake.received_messages == [
        "/pause",
        "/resume",
        "BOARD CHAT\nOne.",
        "BOARD CHAT\nTwo.",
    ]


async def test_a_pause_stops_pending_retries(delivery: DeliveryGateway) -> None:
    """Each attempt checks whether the board is paused."""
    delivery.fake.fault = fail_always(ErrorResponse("UNAVAILABLE", "busy"))
    await delivery.enqueue("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.")
    async with delivery.run_worker():
        while not delivery.sent_run_ids:
            await asyncio.sleep(0.01)
        await delivery.update_row(delivery.world.board, paused_at=now())
        delivery.fake.fault = lambda _method, _params: None
        attempts = len(delivery.sent_run_ids)
        await wait_a_moment()  # longer than the delay after the first two attempts
    assert len(delivery.sent_run_ids) == attempts
    assert await delivery.list_states() == [QUEUED, QUEUED]


async def test_an_agent_receives_messages_after_its_wake_up_message(
    delivery: DeliveryGateway,
) -> None:
    worker = delivery.world.worker
    await delivery.update_row(worker, observed_generation=0, step=ProvisioningStep.FILES)
    await delivery.enqueue("BOARD CHAT\nHello.")
    async with delivery.run_worker():
        for fields in (
            {"observed_generation": 1, "step": ProvisioningStep.WAKE},
            {"observed_generation": 1, "step": ProvisioningStep.CREATE},
            {"desired_state": DesiredState.GONE, "step": None},
            {"desired_state": None},
            {"desired_state": None, "is_linked": True},
        ):
            await delivery.update_row(worker, **fields)
            await wait_a_moment()
            assert await delivery.list_states() == [QUEUED]
        await delivery.update_row(worker, listed_at=now())
        await delivery.wait_for_states(ACKNOWLEDGED)


async def test_the_wake_up_message_precedes_older_messages(
    delivery: DeliveryGateway,
) -> None:
    await delivery.enqueue("TASK ASSIGNED\nDo it.")
    await delivery.enqueue("You are Ada. Check in.", kind=messages.templates.WAKE_UP_KIND)
    async with delivery.run_worker():
        await delivery.wait_for_states(ACKNOWLEDGED, ACKNOWLEDGED)
    assert delivery.fake.received_messages == ["You are Ada. Check in.", "TASK ASSIGNED\nDo it."]


async def test_messages_of_a_board_that_the_agent_left_are_not_sent(
    delivery: DeliveryGateway,
) -> None:
    await delivery.enqueue("BOARD CHAT\nOld.", board=delivery.world.board)
    await delivery.enqueue("BOARD CHAT\nNew.", board=delivery.world.garden)
    await delivery.update_row(delivery.world.worker, board_id=delivery.world.garden.id)
    async with delivery.run_worker():
        await delivery.wait_for_states(QUEUED, ACKNOWLEDGED)


async def test_the_main_agent_of_a_gateway_receives_its_messages(
    delivery: DeliveryGateway,
) -> None:
    main, token = make_main_agent(
        delivery.gateway, desired_state=DesiredState.RUNNING, observed_generation=1
    )
    delivery.fake.entries[f"mc-gateway-{delivery.gateway.id}"] = {}
    async with delivery.transaction() as session:
        session.add_all([main, token])
    await delivery.enqueue("BOARD ONBOARDING REQUEST\nAsk.", to=main, board=delivery.world.garden)
    async with delivery.run_worker():
        await delivery.wait_for_states(ACKNOWLEDGED, agent=main)
    assert delivery.fake.messages_in(delivery.gateway.session_key) == [
        "BOARD ONBOARDING REQUEST\nAsk."
    ]


async def test_a_message_that_a_gateway_never_accepts_fails(delivery: DeliveryGateway) -> None:
    delivery.fake.fault = fail_always(ErrorResponse("UNAVAILABLE", "Model catalog is not ready"))
    await delivery.enqueue("BOARD CHAT\nHello.", on_failed=NOTIFY_FAILED)
    [message] = await delivery.list_messages()
    await delivery.update_row(message, attempts=29)
    async with delivery.run_worker():
        [message] = await delivery.wait_for_states(FAILED)
    assert message.last_error == "Model catalog is not ready"
    assert await delivery.count_events(NOTIFY_FAILED) == 1
    assert message.run_id == str(message.id)


async def test_undelivered_or_unconfirmed_messages_expire_after_seven_days(
    delivery: DeliveryGateway,
) -> None:
    await delivery.enqueue("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.")
    long_ago = now() - timedelta(days=7, seconds=1)
    first, second = await delivery.list_messages()
    await delivery.update_row(first, state=SENT, sent_at=long_ago, waiting_since=long_ago)
    await delivery.update_row(second, waiting_since=long_ago)
    async with delivery.transaction() as session:
        assert await messages.expire_undelivered(session) == 2
    first, second = await delivery.wait_for_states(FAILED, FAILED)
    assert first.last_error == "Its delivery could not be confirmed for 7 days."
    assert second.last_error == "It could not be delivered for 7 days."


async def test_messages_do_not_expire_while_their_board_is_paused(
    delivery: DeliveryGateway,
) -> None:
    await send_chat(delivery, delivery.world.board, "/pause")
    await delivery.enqueue("BOARD CHAT\nTwo.")
    command, waiting = await delivery.list_messages()
    for message in (command, waiting):
        await delivery.update_row(message, waiting_since=now() - timedelta(days=8))
    async with delivery.transaction() as session:
        assert await messages.expire_undelivered(session) == 1
    await delivery.wait_for_states(FAILED, QUEUED)
    await send_chat(delivery, delivery.world.board, "/resume")
    async with delivery.transaction() as session:
        assert await messages.expire_undelivered(session) == 0
