"""Messages on the page of an agent: subject and delivery state."""

import re

import pytest

from core.clock import now
from models import DesiredState, EventType, Message, MessageState, new_id
from services import messages
from services.events import EVENT_DEFINITIONS
from tests.support.board_rows import make_message
from tests.support.gateway_rows import make_gateway, make_main_agent

HTMX = {"HX-Request": "true"}
TASK = """TASK ASSIGNED
Board: Launch
Task: Write <b>the</b> report
Task ID: 0193
Status: inbox

It is yours."""
CHAT = """BOARD CHAT MENTION
Board: Launch
From: Alice

--- BEGIN EXTERNAL DATA 17
@worker look, please
--- END EXTERNAL DATA 17

To answer: POST http://somewhere
Body: {}"""


@pytest.fixture
def address(world) -> str:
    return f"/agents/{world.worker.id}"


async def write(transaction, agent, content: str, **fields) -> Message:
    fields = {"state": MessageState.QUEUED, "waiting_since": now()} | fields
    message = make_message(agent, content, **fields)
    async with transaction() as session:
        session.add(message)
    return message


def row_of(page: str, message: Message) -> str:
    """Return the HTML of a message, without the id of its form."""
    [row] = re.findall(rf'<li class="letter" id="message-{message.id}">(.*?)</li>', page, re.DOTALL)
    return re.sub(r'name="form_id" value="\w+"', "", row)


async def test_each_message_shows_its_delivery_state(alice, world, transaction, address) -> None:
    lost = {"state": MessageState.FAILED, "last_error": "LLM request failed: no <credit>."}
    at = now()
    sent_messages = {
        "Waiting": await write(transaction, world.worker, TASK),
        "Sent": await write(transaction, world.worker, CHAT, state=MessageState.SENT, sent_at=at),
        "Acknowledged": await write(
            transaction, world.worker, "/pause", state=MessageState.ACKNOWLEDGED
        ),
        "Failed": await write(transaction, world.worker, "Hurry up", kind="NUDGE", **lost),
    }
    page = (await alice.get(f"{address}/messages")).text
    part = (await alice.get(f"{address}/messages", headers=HTMX)).text
    for words, message in sent_messages.items():
        assert words in row_of(page, message)
        assert row_of(part, message) == row_of(page, message)
    assert "It waits until the agent fetches it." in row_of(page, sent_messages["Waiting"])
    assert "Write &lt;b&gt;the&lt;/b&gt; report</span>" in row_of(page, sent_messages["Waiting"])
    assert ">@worker look, please</span>" in row_of(page, sent_messages["Sent"])
    assert ">/pause</span>" in row_of(page, sent_messages["Acknowledged"])
    failed = row_of(page, sent_messages["Failed"])
    assert ">Nudge</span>" in failed
    assert ">Hurry up</span>" in failed
    assert "LLM request failed: no &lt;credit&gt;." in failed
    assert [
        words for words, message in sent_messages.items() if "Send again" in row_of(page, message)
    ] == ["Failed"]


async def test_an_admin_retries_a_failed_message(
    alice, bob, rita, charlie, world, transaction, address
) -> None:
    message = await write(transaction, world.worker, TASK)
    async with transaction() as session:
        await messages.expire_undelivered(session, max_age=-messages.DELIVERY_TIMEOUT)
    again = f"{address}/messages/{message.id}/sendings"
    for reader in (bob, rita):
        page = (await reader.get(f"{address}/messages")).text
        assert "The agent has not fetched it for -7 days." in page
        assert "Send again" not in page
        assert (await reader.post(again)).status_code == 403
    assert (await charlie.post(again)).status_code == 404
    assert (await alice.post(again.replace(str(message.id), str(world.tern.id)))).status_code == 404

    sent = await alice.post(again)
    assert (sent.status_code, sent.headers["Location"]) == (303, f"{address}/messages")
    part = (await alice.post(again, headers=HTMX)).text
    assert "<html" not in part
    assert "Waiting" in row_of(part, message)


async def test_readers_of_the_board_can_load_the_messages_part(
    alice, bob, rita, dana, charlie, world, transaction, address
) -> None:
    for number in range(27):
        await write(transaction, world.worker, f"BOARD CHAT\n{number}")
    await write(transaction, world.lead, "BOARD CHAT\nFor the lead.")
    for reader in (alice, bob, rita):
        part = (await reader.get(f"{address}/messages", headers=HTMX)).text
        assert "<html" not in part
        assert len(re.findall('class="letter"', part)) == 25
        assert "1 to 25 of 27" in part
        rest = (await reader.get(f"{address}/messages?offset=25", headers=HTMX)).text
        assert len(re.findall('class="letter"', rest)) == 2
        assert "For the lead." not in part
    assert (await dana.get(f"{address}/messages")).status_code == 403
    assert (await charlie.get(f"{address}/messages")).status_code == 404


async def test_the_address_of_a_message_shows_the_page_around_it(
    alice, charlie, world, transaction, address
) -> None:
    sent = [await write(transaction, world.worker, f"NUDGE\n{number}") for number in range(60)]
    other = await write(transaction, world.lead, "NUDGE")
    for number in (0, 20, 59):
        [link] = re.findall(
            rf'href="({address}/messages[^"]*#message-{sent[number].id})"',
            (await alice.get(f"{address}/messages/{sent[number].id}/why")).text,
        )
        page = (await alice.get(link)).text
        assert f'id="message-{sent[number].id}"' in page
        [reload] = re.findall(r'id="messages".*?hx-get="(.*?)"', page)
        part = (await alice.get(reload, headers=HTMX)).text
        assert f'id="message-{sent[number].id}"' in part
        assert ("message=" in reload) == (number < 59)
    for bad in (other.id, new_id(), "", "x" * 5000, "%00"):
        page = await alice.get(f"{address}/messages?message={bad}")
        assert "1 to 25 of 60" in page.text
    assert (await charlie.get(f"{address}/messages?message={sent[0].id}")).status_code == 404


@pytest.mark.parametrize("query", ["", "?offset=25", "?message={id}"])
async def test_sending_again_without_scripts_keeps_the_page(
    alice, world, transaction, address, query: str
) -> None:
    failed = {"state": MessageState.FAILED, "last_error": "No."}
    message = await write(transaction, world.worker, "NUDGE", **failed)
    for number in range(30 if query else 0):
        await write(transaction, world.worker, f"NUDGE\n{number}")
    shown = f"{address}/messages{query.format(id=message.id)}"
    page = (await alice.get(shown)).text
    [action] = re.findall(r'method="post" action="([^"]+?/sendings[^"]*)"', page)
    assert (await alice.post(action)).headers["Location"] == shown


async def test_sending_again_redirects_to_no_other_place(
    alice, world, transaction, address
) -> None:
    failed = {"state": MessageState.FAILED, "last_error": "No."}
    message = await write(transaction, world.worker, "NUDGE", **failed)
    again = f"{address}/messages/{message.id}/sendings?offset=//evil.example&message=%0d%0a&x=1"
    assert (await alice.post(again)).headers["Location"] == f"{address}/messages"


async def test_every_change_of_a_message_makes_the_part_stale(alice, world, address) -> None:
    page = (await alice.get(f"{address}/messages")).text
    assert "No messages yet." in page
    [trigger] = re.findall(r'id="messages".*?hx-trigger="(.*?)"', page)
    assert f"agent-{world.worker.id} from:body" in trigger
    for type in EventType:
        if type.startswith("message."):
            assert "agent-{agent}" in EVENT_DEFINITIONS[type].stale_parts
    assert "boards from:body" in trigger
    for type in (EventType.BOARD_PAUSED, EventType.BOARD_RESUMED):
        assert "boards" in EVENT_DEFINITIONS[type].stale_parts


async def test_an_admin_sees_the_messages_to_a_gateway_agent(
    alice, bob, world, transaction
) -> None:
    gateway = make_gateway(world.tern, "Workshop")
    main_agent, token = make_main_agent(gateway, desired_state=DesiredState.RUNNING)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all([main_agent, token])
    message = await write(
        transaction, main_agent, "BOARD ONBOARDING REQUEST\nBoard: Launch\n\nAsk."
    )
    page = (await alice.get(f"/agents/{main_agent.id}/messages")).text
    row = row_of(page, message)
    assert ">Board setup request</span>" in row
    assert "No worker is connected to Workshop. A worker must run." in row
    assert (await bob.get(f"/agents/{main_agent.id}/messages")).status_code == 403
