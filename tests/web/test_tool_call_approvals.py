"""Pages of the approvals of tool calls: what they show, and the answers that they offer."""

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from core.clock import now
from models import (
    Agent,
    Approval,
    ApprovalPolicy,
    ApprovalStatus,
    CodingClient,
    PolicyEffect,
    PolicyRule,
    Status,
    ToolCall,
    ToolGrant,
    new_id,
)
from services import tool_calls
from services.tool_calls import HeldCall
from tests.support.approval_pages import HTMX
from tests.support.tool_calls import ask as ask_gate
from tests.support.tool_calls import prepare
from web.approvals.tool_calls import compare_inputs

COMMAND = "git push origin main"


@pytest.fixture
def hold(transaction, world):
    """Return a function that holds a call of Claude Code, and returns its approval."""

    async def hold(**fields) -> Approval:
        async with transaction() as session:
            agent = await session.get_one(Agent, world.worker.id)
            given: dict[str, Any] = {"command": COMMAND, **fields}
            held = await ask_gate(session, agent, prepare(**given))
            assert isinstance(held, HeldCall)
        async with transaction() as session:
            return await session.get_one(Approval, held.approval_id)

    return hold


async def post(browser, approval: Approval, status: str, **fields):
    """Send the form that decides an approval as the page showed it."""
    shown = {"action_hash": approval.action_hash, "status": status} | fields
    return await browser.post(f"/approvals/{approval.id}/answers", data=shown)


def main_part(page: str) -> str:
    return page[page.index('<article class="detail"') :]


async def test_the_page_shows_the_exact_command_and_who_reports_it(alice, hold) -> None:
    command = "echo a\u200bb &&\n  rm -rf 'build dir'"
    value = {"command": command, "timeout": 5, "description": "Clean up"}
    approval = await hold(tool_input=value)
    page = main_part((await alice.get(f"/approvals/{approval.id}")).text)
    assert "Worker wants to run a command" in page
    shown = re.findall(r'id="exact-[^>]*>\n(.*?)</pre>', page, re.DOTALL)[0]
    assert "U+200B" in shown
    assert "rm -rf &#39;build dir&#39;" in shown
    assert "Reported by the client" in page
    assert "Claude Code" in page
    words = re.findall(r'<figure class="says">(.*?)</figure>', page, re.DOTALL)
    assert len(words) == 1
    assert "(unverified)" in words[0]
    assert "Clean up" in words[0]
    assert '<dt dir="auto">timeout</dt>' in page
    assert "Confidence of" not in page
    assert re.search(r'href="/agents/[^"/]+/sessions/[^"]+">Show the session', page)


async def test_another_tool_is_shown_by_its_fields_and_as_json(alice, hold) -> None:
    value = {"file_path": "/etc/hosts", "content": "127.0.0.1 example.com\n"}
    approval = await hold(tool_name="Write", tool_input=value)
    page = main_part((await alice.get(f"/approvals/{approval.id}")).text)
    assert "Worker wants to change a file" in page
    assert re.findall(r'<dt dir="auto">([^<]*)</dt>', page) == ["file_path", "content"]
    for shown in (page, (await alice.get(f"/approvals/{approval.id}/why")).text):
        assert "No rule of the approval policy applies" in shown
    shown = html.unescape(re.findall(r"JSON[^>]*>\n(\{.*?)</pre>", page, re.DOTALL)[0])
    assert json.loads(shown) == value


async def test_a_replaced_text_is_shown_as_a_difference(alice, hold) -> None:
    value = {"file_path": "a.py", "old_string": "a\nb = 1", "new_string": "a\nb = 2"}
    approval = await hold(tool_name="Edit", tool_input=value)
    page = main_part((await alice.get(f"/approvals/{approval.id}")).text)
    assert re.findall(r"<(?:ins|del)[^>]*>([^<]*)", page) == ["b = 1", "b = 2"]


async def test_a_long_input_is_shown_completely_and_can_be_decided(alice, hold) -> None:
    command = "".join(f"echo line {number}\n" for number in range(4_000)) + "rm -rf /"
    approval = await hold(command=command)
    page = (await alice.get(f"/approvals/{approval.id}")).text
    assert "rm -rf /</pre>" in page
    assert "Show everything" not in page
    assert (await post(alice, approval, "approved")).status_code == 303


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"abandoned_at": None}, "<b>Worker waits</b>"),
        ({"abandoned_at": now()}, "Nobody is waiting any more."),
        ({"answer": "defer", "answered_at": now()}, "waits to be resumed"),
    ],
)
async def test_the_page_and_the_row_say_who_waits(
    alice, hold, transaction, values, sentence
) -> None:
    approval = await hold()
    async with transaction() as session:
        await session.execute(update(ToolCall).values(values))
    page = (await alice.get(f"/approvals/{approval.id}")).text
    assert sentence in main_part(page)
    row = re.findall(rf'<li class="ask-row" id="approval-{approval.id}".*?</li>', page, re.DOTALL)
    assert COMMAND in row[0]
    assert re.search("waits|nobody waits", row[0])
    assert 'type="checkbox"' not in row[0]


async def test_decided_rows_show_the_command_with_secrets_masked(alice, hold) -> None:
    approval = await hold(command="curl -H 'Authorization: Bearer abcdefghijklmnop' example.com")
    shown = await alice.post(
        f"/approvals/{approval.id}/answers",
        data={"action_hash": approval.action_hash, "status": "rejected"},
        headers=HTMX,
    )
    for page in (shown, await alice.get("/approvals"), await alice.get("/approvals?state=decided")):
        [row] = re.findall(rf'<li [^>]*id="approval-{approval.id}".*?</li>', page.text, re.DOTALL)
        assert "data-decided" in row
        assert ">curl -H" in row
        assert "abcdefgh" not in row


async def test_a_list_cannot_approve_a_call_of_which_it_shows_a_part(
    alice, hold, transaction
) -> None:
    approval = await hold()
    shown = {"shown": f"{approval.id}:{approval.action_hash}", "status": "approved", "sure": "on"}
    sent = await alice.post("/approvals/answers", data=shown, headers=HTMX)
    assert "Open the request and read it, then approve." in html.unescape(sent.text)
    async with transaction() as session:
        stored = await session.get_one(Approval, approval.id)
    assert stored.decided_status is None


async def test_equal_calls_are_allowed_for_the_session_or_the_task(
    alice, hold, transaction, world
) -> None:
    first = await hold(session_id="one")
    page = (await alice.get(f"/approvals/{first.id}")).text
    assert 'value="session"' in page
    assert 'value="task"' not in page
    assert (await post(alice, first, "session")).status_code == 303
    async with transaction() as session:
        task = world.make_task("Release", status=Status.IN_PROGRESS, assignee=world.worker)
        task.in_progress_at = now() - timedelta(minutes=1)
        session.add(task)
    second = await hold(session_id="two")
    page = (await alice.get(f"/approvals/{second.id}")).text
    assert "Allow until “Release” is done" in page
    assert (await post(alice, second, "task")).status_code == 303
    async with transaction() as session:
        grants = (await session.scalars(select(ToolGrant).order_by(ToolGrant.created_at))).all()
    assert [grant.task_id for grant in grants] == [None, task.id]


@pytest.mark.parametrize(
    ("answer", "sentence", "path"),
    [
        ("approved", "Allowed: Worker wants to run a command.", ""),
        ("rejected", "Denied: Worker wants to run a command.", ""),
        ("session", "Allowed for this session.", "/agents/{agent}/sessions#permissions"),
        ("always", "make release. Undo does not remove the rule.", "/boards/{board}/policy"),
    ],
)
async def test_the_toast_and_the_row_say_what_was_allowed(
    alice, hold, world, answer, sentence, path
) -> None:
    approval = await hold(command="make release")
    shown = {"action_hash": approval.action_hash, "status": answer}
    sent = await alice.post(f"/approvals/{approval.id}/answers", data=shown, headers=HTMX)
    query = f"answered={approval.id}&answer={answer}"
    for page in (sent, await alice.get(f"/approvals/{approval.id}?{query}")):
        toast = page.text.split("data-toast>")[1]
        assert sentence in toast
        assert path.format(agent=world.worker.id, board=world.board.id) in toast
        assert f"/approvals/{approval.id}/undoings" in toast
    page = (await alice.get("/approvals?state=decided")).text
    row = page[page.index(f'id="approval-{approval.id}"') :]
    assert ("You denied" if answer == "rejected" else "You allowed") in row


async def test_the_toast_says_when_the_client_gets_the_answer(alice, hold, transaction) -> None:
    """It follows the time to undo, and is not said if nobody waits."""
    approval = await hold()
    shown = {"action_hash": approval.action_hash, "status": "approved"}
    sent = await alice.post(f"/approvals/{approval.id}/answers", data=shown, headers=HTMX)
    page = f"/approvals/{approval.id}?answered={approval.id}"
    sentence = r"The client gets the answer in \d+ s\."
    shown_pages = [sent.text, main_part((await alice.get(page)).text)]
    assert [bool(re.search(sentence, one)) for one in shown_pages] == [True, True]
    async with transaction() as session:
        await session.execute(update(ToolCall).values(abandoned_at=now()))
    assert not re.search(sentence, (await alice.get(page)).text)


async def test_always_adds_exactly_the_rule_that_is_shown(alice, hold, transaction, world) -> None:
    approval = await hold(command="make release")
    page = main_part((await alice.get(f"/approvals/{approval.id}")).text)
    rule = page[page.index("“Always allow” adds") : page.index('value="always"')]
    assert "make release" in rule
    assert "Worker" in rule
    assert (await post(alice, approval, "always")).status_code == 303
    async with transaction() as session:
        policy = await session.scalar(select(ApprovalPolicy))
        stored = await session.get_one(Approval, approval.id)
    [added] = policy.rules
    assert stored.decided_status is ApprovalStatus.APPROVED
    assert policy.board_id == world.board.id
    assert (added.effect, added.commands) == (PolicyEffect.ALLOW, ("make release",))
    assert (added.agent_ids, added.clients) == ((world.worker.id,), ("claude",))


async def test_the_new_rule_comes_before_the_one_that_asked(
    alice, hold, transaction, world
) -> None:
    rules = [
        PolicyRule(id=new_id(), name="No force", effect=PolicyEffect.DENY, commands=("git reset",)),
        PolicyRule(id=new_id(), name="Ask", effect=PolicyEffect.ASK_ONE, tools=("*",)),
    ]
    async with transaction() as session:
        session.add(
            ApprovalPolicy(
                id=new_id(),
                organization_id=world.tern.id,
                board_id=world.board.id,
                rules=rules,
                updated_at=now(),
            )
        )
    approval = await hold(command="make release")
    why = (await alice.get(f"/approvals/{approval.id}/why")).text
    assert "Policy “Ask”: one person decides." in why
    assert (await post(alice, approval, "always")).status_code == 303
    async with transaction() as session:
        policy = await session.scalar(select(ApprovalPolicy))
    assert [rule.name for rule in policy.rules] == ["No force", "make release", "Ask"]


@pytest.mark.parametrize("command", ["ls $(cat x)", "cat *", "X=1"])
async def test_no_rule_is_offered_that_would_allow_more(alice, hold, command) -> None:
    approval = await hold(command=command)
    page = (await alice.get(f"/approvals/{approval.id}")).text
    assert 'value="always"' not in page
    assert (await post(alice, approval, "always")).status_code == 409


@pytest.mark.parametrize(
    ("answer", "decision", "decided"),
    [
        ("approved", "allowed", COMMAND),
        ("rejected", "denied", COMMAND),
        ("edited", "allowed", "git push --dry-run"),
    ],
)
async def test_its_causes_say_what_was_decided_about_which_call(
    alice, hold, answer, decision, decided
) -> None:
    approval = await hold()
    await post(alice, approval, answer, edited_input="git push --dry-run")
    page = (await alice.get(f"/approvals/{approval.id}/why")).text
    steps = html.unescape(re.sub(r"<[^>]+>", "", page))
    assert f'Worker asked to call a tool: Bash {{"command": "{COMMAND}"' in steps
    assert f'Alice {decision} the tool call: Bash {{"command": "{decided}"' in steps


async def test_only_admins_add_rules(bob, hold, transaction) -> None:
    approval = await hold(command="make release")
    assert 'value="always"' not in (await bob.get(f"/approvals/{approval.id}")).text
    assert (await post(bob, approval, "always")).status_code == 403
    async with transaction() as session:
        assert await session.scalar(select(func.count()).select_from(ApprovalPolicy)) == 0


async def test_readers_and_others_decide_nothing(alice, rita, charlie, hold) -> None:
    approval = await hold()
    page = (await rita.get(f"/approvals/{approval.id}")).text
    assert "but not change it." in page
    assert "your decision" not in page
    assert "your decision" in (await alice.get(f"/approvals/{approval.id}")).text
    for browser, status in ((rita, 403), (charlie, 404)):
        for answer in ("approved", "session", "always", "edited"):
            sent = await post(browser, approval, answer, edited_input="ls")
            assert sent.status_code == status, answer
        edited = await browser.post(f"/approvals/{approval.id}/edits", data={"edited_input": "ls"})
        assert 'value="edited"' not in edited.text


async def test_an_edit_is_shown_as_a_difference_before_it_is_allowed(
    alice, hold, transaction
) -> None:
    approval = await hold(command="git push --force")
    shown = {"edited_input": "git push", "action_hash": approval.action_hash, "note": "No force"}
    page = (await alice.post(f"/approvals/{approval.id}/edits", data=shown)).text
    assert re.findall(r"<(?:ins|del)[^>]*>([^<]*)", page) == ["git push --force", "git push"]
    assert 'name="note" value="No force"' in page
    sent = await post(alice, approval, "edited", edited_input="git push", note="No force")
    assert sent.status_code == 303
    async with transaction() as session:
        stored = await session.get_one(Approval, approval.id)
    assert stored.payload["edited_input"] == {"command": "git push"}
    assert stored.decided_status is ApprovalStatus.APPROVED
    again = main_part((await alice.get(f"/approvals/{approval.id}")).text)
    assert "Changed by the person who allowed it" in again
    decided = (await alice.get("/approvals?state=decided")).text
    [row] = re.findall(rf'<li [^>]*id="approval-{approval.id}".*?</li>', decided, re.DOTALL)
    assert "git push" in row
    assert "--force" not in row


@pytest.mark.parametrize(
    ("text", "status", "sentence"),
    [("{", 422, "Write a JSON object."), ("[1]", 422, "Write a JSON object.")],
)
async def test_an_edit_must_be_valid(alice, hold, text, status, sentence) -> None:
    approval = await hold(tool_name="Write", tool_input={"file_path": "a", "content": "b"})
    for path, more in (("edits", {}), ("answers", {"status": "edited"})):
        form = {"edited_input": text, "action_hash": approval.action_hash} | more
        sent = await alice.post(f"/approvals/{approval.id}/{path}", data=form)
        assert sent.status_code == status
        assert sentence in sent.text


async def test_an_edit_that_changes_nothing_is_refused(alice, hold) -> None:
    approval = await hold()
    form = {"edited_input": COMMAND, "action_hash": approval.action_hash}
    sent = await alice.post(f"/approvals/{approval.id}/edits", data=form)
    assert sent.status_code == 422
    assert "The input is the same as before." in sent.text


async def test_a_client_without_edits_is_offered_none(alice, hold) -> None:
    approval = await hold(client=CodingClient.CODEX)
    assert 'name="edited_input"' not in (await alice.get(f"/approvals/{approval.id}")).text


async def test_a_deleted_input_leaves_its_beginning(alice, hold, transaction) -> None:
    approval = await hold()
    await post(alice, approval, "rejected", note="No")
    async with transaction() as session:
        before = now() - timedelta(days=31)
        await session.execute(update(Approval).values(created_at=before))
        await tool_calls.delete_old_calls(session)
    page = main_part((await alice.get(f"/approvals/{approval.id}")).text)
    assert "The input was deleted 30 days after the call." in page
    assert COMMAND in page


def test_a_comparison_of_hostile_inputs_ends() -> None:
    lines = "\n".join("ab"[number % 2] for number in range(50_000))
    before = {"tool": "Bash", "input": {"command": lines}}
    assert len(compare_inputs(before, {"command": lines[::-1]})) <= 50_001
