"""Everything works without scripts, by forms and links."""

import re
from datetime import timedelta

import httpx2
import pytest

from core.db.engine import TransactionFactory
from models import Agent, Board, DesiredState, Gateway, RequestKind, Status, Task
from services import identity
from services.tasks import CARDS_IN_COLUMN
from tests.support.approval_pages import Ask, ask
from tests.support.board_pages import keep
from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.fake_gateway import TOKEN, FakeGateway
from tests.support.gateway_pages import fake
from tests.support.gateway_rows import make_gateway_request
from tests.support.memory_rows import make_note
from tests.support.onboarding_forms import DRAFT, PostAgentMessage
from tests.support.people_rows import token_secret
from tests.support.plain_browser import PlainPage
from tests.support.world import World
from tests.web.conftest import Browsers

__all__ = ["ask", "fake"]

OWNER = {"Your name": "Mara Okafor", "E-mail": "mara@example.com"}
PASSWORD = "a quiet long watch"
QUESTION = """[{"question":"Which colour?","questionId":"colour","isOther":true,
 "options":[{"label":"Blue"},{"label":"Red"}]}]"""


@pytest.fixture
def page(alice: httpx2.AsyncClient) -> PlainPage:
    """Return the page of Alice's browser."""
    return PlainPage(alice)


@pytest.fixture
async def task(world: World, transaction: TransactionFactory) -> Task:
    """Create a task on Launch."""
    task = world.make_task("Paint the door")
    await keep(transaction, task)
    return task


@pytest.fixture
def task_path(board_path: str, task: Task) -> str:
    return f"{board_path}/tasks/{task.id}"


def titles_in(page: PlainPage, status: str) -> list[str]:
    """Return the titles of the cards in a column."""
    cards = page.part(f"column-{status}").find_class("card")
    return [card.find_all("h3")[0].text for card in cards]


async def test_the_first_steps(browsers: Browsers, transaction: TransactionFactory) -> None:
    async with transaction() as session:
        link = await identity.create_first_run_link(session)
    page = await PlainPage(browsers(None)).open("/first-run")
    page.fill("Link", f"http://mission.test/first-run#{link}")
    await page.press("Open")
    for label, value in OWNER.items():
        page.fill(label, value)
    page.fill("Password", PASSWORD)
    await page.press("Become the owner")
    page.fill("Name", "Tern")
    await page.press("Save and continue")
    page.fill("Name", "Launch")
    page.fill("Description", "All about the launch")
    await page.press("Create board and continue")
    page.fill("Name", "Juniper")
    await page.press("Add agent and continue")
    token = re.search(r"mc_agent_[\w-]+", page.text)
    assert token

    assert "Juniper is connected." not in page.text
    headers = {"Authorization": f"Bearer {token[0]}"}
    await browsers(None).post("/api/v1/agent/heartbeat", headers=headers)
    await page.follow("Check again")
    assert "Juniper is connected." in page.text
    await page.follow("Open the board")
    assert page.heading == "Launch"
    assert titles_in(page, "inbox") == ["Say hello and describe what you can do"]

    await page.press("Sign out")
    assert page.heading == "Sign in"
    await page.open("/agents")
    page.fill("E-mail", OWNER["E-mail"])
    page.fill("Password", "not the password")
    await page.press("Sign in")
    assert page.get_field("E-mail").value == OWNER["E-mail"]
    assert page.find("field-password-error")
    page.fill("Password", PASSWORD)
    await page.press("Sign in")
    assert page.address == "http://mission.test/agents"


async def test_a_board_is_created_and_a_task_is_moved(page: PlainPage) -> None:
    await page.open("/boards")
    await page.follow("New board")
    page.fill("Name", "Plain work")
    page.fill("Description", "Done by forms")
    await page.press("Create board")
    assert page.heading == "Plain work"

    await page.follow("New task")
    page.fill("Title", "Paint the door")
    page.fill("Priority", "High")
    await page.press("Add task")
    assert titles_in(page, "inbox") == ["Paint the door"]

    await page.press("Actions for “Paint the door”")
    await page.press("Review", "edit-status")
    await page.follow("Plain work")
    assert titles_in(page, "review") == ["Paint the door"]

    await page.follow("Paint the door", "column-review")
    await page.press("Done", "edit-status")
    assert "Needs an approval." in page.heading
    await page.press("Approve and move to Done")
    assert page.heading == "Paint the door"
    assert "Done" in page.part("edit-status").find_all("summary")[0]
    assert "approved: Complete the task" in page.text


async def test_a_board_is_filtered_and_shown_as_a_list(
    page: PlainPage, board_path: str, task: Task, transaction: TransactionFactory, world: World
) -> None:
    await keep(transaction, world.make_task("Hang the sign", status=Status.DONE))
    await page.open(board_path)
    await page.follow("Expand Done: 1 task")
    assert titles_in(page, "done") == ["Hang the sign"]
    page.fill("Search tasks", "door")
    await page.press("Filter")
    assert "Hang the sign" not in page.text
    assert titles_in(page, "inbox") == ["Paint the door"]
    await page.follow("List")
    assert "Paint the door" in page.text
    assert "Hang the sign" not in page.text
    await page.follow("Show all")
    assert "Hang the sign" in page.text


async def test_all_cards_of_a_long_column_are_shown_by_a_link(
    page: PlainPage, board_path: str, transaction: TransactionFactory, world: World
) -> None:
    count = CARDS_IN_COLUMN + 5
    await keep(transaction, *[world.make_task(f"Task {number}") for number in range(count)])
    await page.open(board_path)
    assert len(titles_in(page, "inbox")) == CARDS_IN_COLUMN
    await page.follow(f"Show all {count}")
    assert len(titles_in(page, "inbox")) == count


async def test_a_task_is_changed_commented_and_restored(
    page: PlainPage, board_path: str, task_path: str
) -> None:
    await page.open(board_path)
    await page.follow("Paint the door")
    await page.press("High", "edit-priority")
    assert "High" in page.part("edit-priority").find_all("summary")[0]

    page.fill("Title", "Paint the green door", "edit-title")
    await page.press("Save", "edit-title")
    assert page.heading == "Paint the green door"
    page.fill("Description", "Twice.", "edit-text")
    await page.press("Save", "edit-text")
    assert page.part("task-prose").text == "Twice."

    page.fill("Comment", "The paint is **here**.")
    await page.press("Send")
    assert "The paint is here." in page.part("conversation")

    assert not page.find_named("button", "Print")  # a script prints
    await page.press("Delete task")
    assert "Deleted “Paint the green door”" in page.text
    await page.press("Undo")
    assert page.heading == "Paint the green door"


async def test_a_stale_description_is_merged(
    page: PlainPage, task: Task, task_path: str, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        (await session.get_one(Task, task.id)).description = "Sand it.\nPaint it."
    await page.open(task_path)
    page.fill("Description", "Sand it.\nPaint it blue.", "edit-text")
    async with transaction() as session:
        (await session.get_one(Task, task.id)).description = "Sand it.\nPaint it twice."
    await page.press("Save", "edit-text")
    assert page.heading == "This was changed meanwhile"
    page.fill("Text to save", "Paint it blue, twice.")
    await page.press("Save")
    assert page.part("task-prose").text == "Paint it blue, twice."


async def test_the_filter_of_a_conversation_stays(page: PlainPage, task_path: str) -> None:
    def events() -> int:
        return len(page.part("conversation").find_class("tl__e--event"))

    await page.open(task_path)
    await page.press("High", "edit-priority")
    assert events() == 1
    await page.follow("Comments", "conversation")
    for number in range(2):
        page.fill("Comment", f"Comment {number}.")
        await page.press("Send")
        assert f"Comment {number}." in page.part("conversation")
        assert page.get("a", "Comments", "conversation").attributes["aria-current"] == "true"
        assert events() == 0
    await page.follow("All", "conversation")
    assert page.get("a", "All", "conversation").attributes["aria-current"] == "true"
    assert events() == 1


async def test_an_approval_is_decided_undone_and_decided_again(
    page: PlainPage, ask: Ask, world: World
) -> None:
    await ask("Print the poster", agent_id=world.worker.id)
    await page.open("/approvals")
    page.fill("Note for", "Please.")
    await page.press("Approve (agent moves it)")
    await page.press("Undo", "toasts")
    await page.press("Reject", "detail")
    assert "Rejected. Complete the task “Print the poster”?" in page.text


async def test_several_approvals_are_decided(page: PlainPage, ask: Ask) -> None:
    for title in ("One", "Two"):
        await ask(title)
    await page.open("/approvals")
    for title in ("One", "Two"):
        page.check(f"Select: Complete the task “{title}”?")
    await page.press("Approve", "bulk")
    await page.open("/approvals")
    assert page.text.count("You approved · ") == 2


async def test_a_question_of_a_gateway_is_answered(
    page: PlainPage, gateway: Gateway, transaction: TransactionFactory, world: World
) -> None:
    request = make_gateway_request(
        gateway, world.worker, exact=QUESTION, kind=RequestKind.QUESTION, allowed_decisions=[]
    )
    await keep(transaction, request)
    await page.open(f"/approvals/requests/{request.id}")
    await page.press("Answer", f"decide-{request.id}")
    assert "Answer: Which colour" in page.text
    page.fill("Or in your own words", "Mauve")
    await page.press("Answer", f"decide-{request.id}")
    assert "You answered it" in page.part("detail")


async def test_settings_of_users_and_boards_are_saved(page: PlainPage, board_path: str) -> None:
    await page.open("/settings")
    page.fill("Preferred name", "Ally")
    await page.press("Save", "you")
    assert "Saved" in page.part("saved")
    assert page.get_field("Preferred name").value == "Ally"

    await page.open(f"{board_path}/settings")
    label = "Review before Done"
    page.check(label)
    await page.press("Save the rules")
    assert "checked" in page.get_field(label).attributes


async def test_the_search_is_opened_and_filtered(
    page: PlainPage, transaction: TransactionFactory, world: World
) -> None:
    await keep(transaction, *[world.make_task(f"Watch the bittern {n}") for n in range(22)])
    for name in ("Search…", "Search"):  # of a wide window, and of a phone
        await page.open("/activity")
        await page.follow(name)
        assert page.address == "http://mission.test/search"
    page.fill("Words to search for", "bittern")
    await page.press("Search", "content")
    assert len(page.root.find_class("found")) == 20
    await page.follow("Next page")
    assert len(page.root.find_class("found")) == 2
    page.fill("Status", "Done")
    await page.press("Filter")
    assert "No results." in page.text
    assert "status=done" in page.address


async def test_views_are_saved_and_deleted(page: PlainPage, board_path: str) -> None:
    await page.open(f"{board_path}?q=lamp")
    await page.follow("Save as new view")
    page.fill("Name", "Lamps")
    await page.press("Save view")
    assert page.part("view-menu").find_all("summary")[0].text == "View: Lamps"
    await page.follow("Manage views")
    await page.press("Delete view")
    assert "No views yet." in page.text


async def test_all_agents_and_those_of_a_board_are_stopped_at_once(
    page: PlainPage, board_path: str
) -> None:
    await page.open("/agents")
    await page.press("Stop all agents", "rail")
    assert "All agents are stopped by you" in page.part("stopped")
    await page.press("Resume agents")
    assert page.find("stopped") is None or "All agents are stopped" not in page.text
    await page.open(board_path)
    await page.press("Pause agents")
    assert "Paused by you" in page.part("paused")
    await page.press("Resume")
    assert page.address == f"http://mission.test{board_path}"
    assert "Paused by you" not in page.text


async def test_the_chat_and_the_notes_are_used(page: PlainPage, board_path: str) -> None:
    await page.open(board_path)
    await page.follow("Chat")
    page.fill("Message", "Ahoy")
    await page.press("Send")
    assert "Ahoy" in page.text
    await page.follow("Notes")
    assert "No notes yet." in page.text


async def test_a_link_to_an_old_message_shows_it(
    page: PlainPage, board_path: str, transaction: TransactionFactory, world: World
) -> None:
    notes = [make_note(world.board, f"Message {number}.", is_chat=True) for number in range(60)]
    for number, note in enumerate(notes):
        note.created_at += timedelta(seconds=number - 60)
    await keep(transaction, *notes)
    await page.open(f"{board_path}/chat")
    assert "Message 0." not in page.text
    await page.open(f"{board_path}/chat?note={notes[0].id}")
    assert "Message 0." in page.part(f"note-{notes[0].id}")
    await page.follow("Later")
    assert "Message 59." in page.text


async def test_a_group_is_created_and_changed(page: PlainPage) -> None:
    await page.open("/groups/new")
    page.fill("Name", "Plain")
    await page.press("Add", "content")
    await page.follow("Garden", "content")
    await page.press("Create group")
    assert page.heading == "Plain"
    assert "Garden" in page.part("group-boards")
    await page.follow("Notes")
    page.fill("Note", "We sail on Friday")
    await page.press("Add note")
    assert "We sail on Friday" in page.part("notes")
    await page.open("/boards")
    await page.follow("Garden", "boards")
    await page.open(f"{page.address}/settings")
    await page.press("Plain", "about")
    await page.follow("No choice")
    await page.press("Save", "about")
    await page.open("/groups")
    await page.follow("Plain", "content")
    assert "No boards in this group yet." in page.text


async def test_a_tag_is_created_changed_and_deleted(page: PlainPage) -> None:
    await page.open("/tags/new")
    page.fill("Name", "Spring Cleaning 1")
    await page.press("Create tag")
    await page.follow("Spring Cleaning 1", "tags")
    page.fill("Name", "Spring Cleaning 2")
    await page.press("Save")
    await page.follow("Spring Cleaning 2", "tags")
    await page.press("Delete tag", "end")
    assert page.heading == "Tags 0"


async def test_a_field_is_created_changed_and_deleted(page: PlainPage) -> None:
    await page.open("/fields/new")
    page.fill("Name", "weight")
    page.fill("Type", "Whole number")
    await page.press("Add", "content")
    await page.follow("Launch", "content")
    await page.press("Create field")
    await page.follow("weight")
    page.fill("Name", "Weight in t")
    await page.press("Save")
    await page.follow("Weight in t")
    await page.press("Delete field", "end")
    assert page.heading == "Task fields 0"


async def test_a_soul_is_compared_and_applied(page: PlainPage) -> None:
    await page.open("/souls?q=code+review")
    await page.follow("Code reviewer")
    await page.follow("Choose")
    await page.follow("Gardener", "content")
    assert "Changes to SOUL.md" in [
        one.attributes.get("aria-label") for one in page.root.find_all("pre", "div", "section")
    ]
    await page.press("Apply to Gardener")
    assert "Gardener" in page.heading


async def test_notifications_are_read(page: PlainPage, browsers: Browsers, world: World) -> None:
    body = {"action_type": "deploy", "confidence": 80, "payload": {"reason": "It is ready."}}
    headers = {"Authorization": f"Bearer {token_secret(world.worker)}"}
    path = f"/api/v1/agent/boards/{world.board.id}/approvals"
    asked = await browsers(None).post(path, json=body, headers=headers)
    assert asked.status_code == 200, asked.text
    await page.open("/notifications")
    await page.press("Mark as read", "notifications")
    assert page.get("button", "Mark as unread", "notifications")


async def test_a_person_is_invited_gets_access_and_is_removed(
    page: PlainPage, browsers: Browsers
) -> None:
    await page.open("/people")
    await page.follow("Invite")
    page.fill("E-mail", "nora@example.com")
    page.check("None")
    await page.press("Add")  # to the boards that can be read
    await page.follow("Garden", "options")
    await page.press("Create invitation link")
    [row] = [one for one in page.root.find_all("tr") if "nora@example.com" in one]
    assert "Can read Garden" in row
    assert "/invite#" in page.text
    await page.open("/people")
    assert "/invite#" not in page.text  # a link is shown once
    await page.press("Create a new link for nora@example.com")
    link = re.search(r"http\S+/invite#\S+", page.text)
    assert link

    invited = await PlainPage(browsers(None)).open("/invite")
    invited.fill("Link", link[0])
    await invited.press("Open")
    invited.fill("Your name", "Nora")
    invited.fill("Password", PASSWORD)
    await invited.press("Create account")
    assert invited.status == 200, invited.text
    assert "Sign out" in invited.text
    again = await PlainPage(browsers(None)).open("/invite")
    again.fill("Link", link[0])
    await again.press("Open")
    assert again.heading == "This link is not valid."

    await page.open("/people")
    await page.follow("Access of Nora")
    await page.press("Add")  # to the boards that can be edited: those that can be read have one
    await page.follow("Garden", "options")
    await page.press("Save access")
    assert "Saved " in page.text
    page.fill("Role of Nora", "Admin")
    await page.press("Save role")
    assert page.get_field("Role of Nora").value == "Admin"
    await page.press("Remove Nora")
    assert page.find("members-title")
    assert "nora@example.com" not in page.text
    await invited.open("/organization/about")
    assert "Name your organization" in invited.text


async def test_the_dashboard_is_used(page: PlainPage) -> None:
    await page.open("/dashboard")
    await page.follow("24h", "range-menu")
    assert "Last 24 hours" in page.part("range-menu").find_all("summary")[0]
    assert page.part("work-table").find_all("table")


async def test_the_change_on_a_gateway_is_shown(
    page: PlainPage, gateway: Gateway, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).gateway_id = gateway.id
        (await session.get_one(Agent, world.worker.id)).desired_state = DesiredState.RUNNING
    address = f"/agents/{world.worker.id}/settings"
    await page.open(address)
    page.fill("Name", "Skua")
    await page.press("Show the change on the gateway")
    assert page.part("config-change").find_all("ins")
    assert "Skua" not in (await PlainPage(page.client).open(address)).heading
    await page.press("Save")
    assert "Saved" in page.part("saved")
    assert page.heading == "Skua"


async def test_sessions_of_a_gateway_are_read(
    page: PlainPage, gateway: Gateway, fake_gateway: FakeAgentsGateway
) -> None:
    await page.open(f"/gateways/{gateway.id}/sessions")
    await page.follow("Load from the gateway")
    await page.follow("agent:main:main")
    await page.follow("Load from the gateway")
    page.fill("Message", "Hello from a plain browser")
    await page.press("Send")
    assert "Hello from a plain browser" in page.part("transcript")
    assert fake_gateway.sent_messages == [("agent:main:main", "Hello from a plain browser")]


async def test_a_gateway_is_connected_checked_and_removed(
    page: PlainPage, fake: FakeGateway
) -> None:
    fake.requires_pairing = True
    await page.open("/gateways/new")
    page.fill("Name", "Plain gateway")
    page.fill("Address", fake.url)
    page.fill("Token", TOKEN)
    await page.press("Connect")
    assert page.heading == "Plain gateway"
    await page.press("Check again")
    assert "Not approved on the gateway" in page.text
    fake.approve_device()
    await page.press("Check again")
    assert "Not approved on the gateway" not in page.text
    await page.press("Remove Plain gateway")
    assert "Gateways" in page.heading
    assert "Plain gateway" not in page.part("gateways")


async def test_a_board_is_set_up_with_an_agent(
    page: PlainPage, onboarding_path: str, post_agent_message: PostAgentMessage
) -> None:
    await page.open(onboarding_path)
    await page.press("Answer questions from Harbour master")
    await post_agent_message({"question": "What for?", "options": ["Fun", "Other"]})
    await page.open(onboarding_path)
    await page.press("Answer")
    assert "Choose an answer, or enter your own." in page.text
    page.check("Other")
    page.fill("Your own words", "Money")
    await page.press("Answer")
    assert "Money" in page.part("brief")
    page.check("Fun", "talk")
    await page.press("Change the answer")
    assert "Fun: Money" in page.text

    await page.follow("Start over or cancel")
    await page.press("Start over")
    assert "Thinking about the first question" in page.text
    await post_agent_message(DRAFT)
    await page.open(onboarding_path)
    await page.follow("Review the draft")
    page.fill("What it decides", "Decides on its own")
    await page.press("Update the preview")
    assert "without an approval" in page.part("preview")
    await page.press("Launch the board")
    assert page.heading == "Ava is starting."
