"""Gateway requests in the inbox, shown exactly and resolved once."""

import json
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Gateway, GatewayRequest, RequestKind, RequestState
from tests.support.approval_pages import approving
from tests.support.gateway_rows import make_gateway, make_gateway_request
from tests.support.world import World
from tests.web.conftest import Browsers
from web.ui.time_format import format_iso

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#inbox"}
TWO = """[{"question":"Which colour?","questionId":"colour","isOther":true,
 "options":[{"label":"Blue"},{"label":"Red","description":"Hot."}]},
 {"question":"Where?","questionId":"where","multiSelect":true,
 "options":[{"label":"Here"},{"label":"There"}]}]"""
SECRET = '[{"question":"The key?","questionId":"key","options":[],"isSecret":true}]'


Ask = Callable[..., Awaitable[GatewayRequest]]


@pytest.fixture
async def gateway(transaction: TransactionFactory, world: World) -> Gateway:
    gateway = make_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
    return gateway


@pytest.fixture
def ask(transaction: TransactionFactory, gateway: Gateway, world: World) -> Ask:
    async def ask(exact: str = "rm -rf build", agent: Agent | None = None, **fields: Any) -> Any:
        request = make_gateway_request(gateway, agent or world.worker, exact=exact, **fields)
        async with transaction() as session:
            session.add(request)
        return request

    return ask


async def stored(transaction: TransactionFactory, request: GatewayRequest) -> GatewayRequest:
    async with transaction() as session:
        query = select(GatewayRequest).where(GatewayRequest.id == request.id)
        found = await session.scalar(query)
        assert found
        return found


def current(html: str) -> list[str]:
    return re.findall(r'id="request-([^"]*)"[^>]*aria-current="true"', html)


async def test_a_command_is_shown_exactly_with_its_context(alice, ask: Ask) -> None:
    gateway_request = await ask(
        "\nrm  -rf 'a'\t\u202e<b>\n",
        context={"path": "/usr/bin/rm", "warning": "Careful."},
    )
    for address in ("/approvals", f"/approvals/requests/{gateway_request.id}"):
        page = (await alice.get(address)).text
        shown = page.partition("Exact command")[2].partition("</pre>")[0]
        # HTML drops the first line break of a <pre>, so the template adds one
        assert re.sub(r"<[^>]*>", "", shown.partition(">\n")[2]) == (
            "\nrm  -rf &#39;a&#39;\tU+202E&lt;b&gt;\n"
        )
        assert "\u202e" not in page
        for text in (
            gateway_request.sha256[:12],
            "/agents/work",
            "/usr/bin/rm",
            "Careful.",
            "Worker",
        ):
            assert text in page
        assert "this cannot be undone" in page
        assert f'name="sha256" value="{gateway_request.sha256}"' in page
        assert "undoings" not in page


async def test_everything_that_will_run_is_shown(alice, ask: Ask) -> None:
    gateway_request = await ask(
        context={
            "host": "build-7",
            "node": "node-1",
            "argv": ["rm", "-rf", "b\u202euild  x"],
            "environment": {"LD_PRELOAD": "c" * 64},
            "plan": "d" * 64,
        },
    )
    page = (await alice.get(f"/approvals/requests/{gateway_request.id}")).text
    for text in ("build-7", "node-1", ">-rf</li>", "uild  x</li>", "LD_PRELOAD", "d" * 64):
        assert text in page
    assert "c" * 12 in page
    assert "\u202e" not in page


async def test_a_masked_token_is_mentioned(alice, ask: Ask) -> None:
    masked = await ask("curl mc_agent_***", sha256="a" * 64)
    as_it_is = await ask("curl mc_agent_***")
    page = (await alice.get(f"/approvals/requests/{masked.id}")).text
    assert "contains a token of Mission Control, which is masked here." in page
    page = (await alice.get(f"/approvals/requests/{as_it_is.id}")).text
    assert "contains a token" not in page


async def test_requests_count_for_members_who_may_resolve_them(
    alice,
    bob,
    rita,
    dana,
    ask: Ask,
    world: World,
    transaction: TransactionFactory,
    gateway: Gateway,
) -> None:
    await ask()
    async with transaction() as session:
        session.add(make_gateway_request(gateway, None, exact="whoami"))
    for browser, needs, requests in ((alice, 2, 2), (bob, 1, 1), (rita, 0, 0), (dana, 1, 1)):
        page = (await browser.get("/approvals")).text
        assert f'data-needs="{needs}"' in page
        assert len(re.findall('<li class="ask-row"', page)) == requests
    assert (await alice.get("/")).headers["Location"] == "/approvals"
    assert (await rita.get("/")).headers["Location"] == "/dashboard"
    only = (await alice.get(f"/approvals?board={world.garden.id}")).text
    assert "Nothing on this board needs you." in only
    assert "2 items on other boards" in only


@pytest.mark.parametrize(("name", "status"), [("rita", 403), ("dana", 403), ("charlie", 404)])
async def test_others_cannot_see_or_resolve_a_request(
    name: str,
    status: int,
    browsers: Browsers,
    ask: Ask,
    transaction: TransactionFactory,
    world: World,
) -> None:
    browser, gateway_request = browsers(getattr(world, name)), await ask()
    form = {"sha256": gateway_request.sha256, "decision": "allow-once"}
    page = await browser.get(f"/approvals/requests/{gateway_request.id}")
    posted = await browser.post(f"/approvals/requests/{gateway_request.id}/answers", data=form)
    assert (page.status_code, posted.status_code) == (status, status)
    assert "rm -rf" not in page.text + posted.text
    assert (await stored(transaction, gateway_request)).state is RequestState.WAITING


async def test_an_action_of_a_plugin_is_shown_and_decided(
    alice, bob, charlie, transaction: TransactionFactory, ask: Ask
) -> None:
    exact = """{"title":"Deploy <b>it</b>","description":"To production.","detail":"region: eu",
      "severity":"critical","pluginId":"deploy-policy","scope":{"kind":"payment","amount":5}}"""
    gateway_request = await ask(
        exact, kind=RequestKind.PLUGIN, cwd=None, allowed_decisions=["allow-once", "deny"]
    )
    path = f"/approvals/requests/{gateway_request.id}"
    page = (await alice.get(path)).text
    shown = ("Allow this action?", "Deploy &lt;b&gt;it&lt;/b&gt;", "To production.", "region: eu")
    for text in (*shown, "deploy-policy", "amount: 5", "The plugin calls this action critical."):
        assert text in page
    assert re.findall('name="decision" value="([^"]*)"', page) == ["deny", "allow-once"]
    answer = {"sha256": gateway_request.sha256, "decision": "allow-once"}
    assert (await charlie.post(f"{path}/answers", data=answer)).status_code == 404
    assert (await bob.post(f"{path}/answers", data=answer)).status_code == 303
    assert (await stored(transaction, gateway_request)).answer == {"decision": "allow-once"}
    assert "You allowed it once" in (await bob.get(path)).text


async def test_only_decisions_that_the_gateway_accepts_are_offered(alice, ask: Ask) -> None:
    gateway_request = await ask(allowed_decisions=["allow-always", "deny"])
    page = (await alice.get(f"/approvals/requests/{gateway_request.id}")).text
    offered = re.findall('name="decision" value="([^"]*)"', page)
    assert offered == ["deny", "allow-always"]


async def test_a_resolution_shows_its_author_and_delivery(
    bob, ask: Ask, transaction: TransactionFactory
) -> None:
    gateway_request = await ask(asked_at=now() - timedelta(minutes=20))
    path = f"/approvals/requests/{gateway_request.id}"
    form = {"sha256": gateway_request.sha256, "decision": "allow-once"}
    answered = await bob.post(f"{path}/answers", data=form, headers=HTMX)
    assert answered.status_code == 200
    assert "<b>You allowed it once</b>" in answered.text
    assert "Harbour has not received the answer yet" in answered.text
    assert current(answered.text) == [str(gateway_request.id)]
    assert 'name="decision"' not in answered.text
    kept = await stored(transaction, gateway_request)
    assert (kept.state, kept.answered_by) == (RequestState.ANSWERING, "Bob")
    assert kept.answered_at
    assert (
        f'<b>You allowed it once</b> <time datetime="{format_iso(kept.answered_at)}"'
        in answered.text
    )
    async with transaction() as session:
        row = await session.get_one(GatewayRequest, gateway_request.id)
        row.state, row.delivered_at, row.ended_at = RequestState.ANSWERED, now(), now()
    page = (await bob.get(path)).text
    assert "Harbour received the answer" in page
    assert "You allowed it once" in (await bob.get("/approvals?state=gateways")).text


async def test_without_scripts_a_resolution_redirects_to_the_request(bob, ask: Ask) -> None:
    gateway_request = await ask()
    path = f"/approvals/requests/{gateway_request.id}"
    answered = await bob.post(
        f"{path}/answers", data={"sha256": gateway_request.sha256, "decision": "deny"}
    )
    assert (answered.status_code, answered.headers["Location"]) == (303, path)
    assert "<b>You denied it</b>" in (await bob.get(path)).text


async def test_the_second_resolution_shows_who_was_first(alice, bob, ask: Ask) -> None:
    gateway_request = await ask()
    path = f"/approvals/requests/{gateway_request.id}/answers"
    await bob.post(path, data={"sha256": gateway_request.sha256, "decision": "deny"})
    form = {"sha256": gateway_request.sha256, "decision": "allow-once"}
    for headers in ({}, HTMX):
        late = await alice.post(path, data=form, headers=headers)
        assert late.status_code == 409
        assert "Bob has answered this already. Your answer was not sent." in late.text
        assert "<b>Bob denied it</b>" in late.text


async def test_a_changed_command_cannot_be_allowed(
    bob, ask: Ask, transaction: TransactionFactory
) -> None:
    gateway_request = await ask()
    for form in ({"decision": "deny"}, {"decision": "deny", "sha256": "0" * 64}):
        refused = await bob.post(f"/approvals/requests/{gateway_request.id}/answers", data=form)
        assert refused.status_code == 409
        assert "The request has changed." in refused.text
    assert (await stored(transaction, gateway_request)).state is RequestState.WAITING


async def test_questions_are_answered_by_option_or_free_text(
    bob, ask: Ask, transaction: TransactionFactory
) -> None:
    gateway_request = await ask(TWO, kind=RequestKind.QUESTION)
    path = f"/approvals/requests/{gateway_request.id}"
    page = (await bob.get(path)).text
    assert "2 questions" in page
    assert f'data-suggest="board={gateway_request.board_id}"' in page
    assert f'name="sha256" value="{gateway_request.sha256}"' in page
    assert len(re.findall('type="radio"', page)) == 2
    assert len(re.findall('type="checkbox" name="chosen-where"', page)) == 2
    assert "Hot." in page
    form = {"sha256": gateway_request.sha256, "chosen-colour": "Blue", "typed-colour": ""}
    lacking = await bob.post(f"{path}/answers", data=form, headers=HTMX)
    assert lacking.status_code == 422
    assert "Answer: Where?" in lacking.text
    assert 'value="Blue" checked' in lacking.text
    whole = form | {"typed-colour": "Mauve", "chosen-where": ["Here", "There"]}
    answered = await bob.post(f"{path}/answers", data=whole, headers=HTMX)
    assert "Here, There" in answered.text
    kept = await stored(transaction, gateway_request)
    assert kept.answer == {"answers": {"colour": ["Mauve"], "where": ["Here", "There"]}}


async def test_questions_can_be_cancelled_and_secrets_not_answered(
    bob, ask: Ask, transaction: TransactionFactory
) -> None:
    gateway_request = await ask(TWO, kind=RequestKind.QUESTION)
    form = {"sha256": gateway_request.sha256, "cancel": "1"}
    answered = await bob.post(
        f"/approvals/requests/{gateway_request.id}/answers", data=form, headers=HTMX
    )
    assert "You left it unanswered" in answered.text
    secret = await ask(SECRET, kind=RequestKind.QUESTION)
    page = (await bob.get(f"/approvals/requests/{secret.id}")).text
    assert "This request asks for a secret" in page
    assert "<textarea" not in page.partition('id="detail"')[2]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"state": RequestState.EXPIRED}, "Nobody answered in time"),
        ({"state": RequestState.CANCELLED}, "Withdrawn"),
        ({"state": RequestState.LOST, "error": "Gone."}, "Gone."),
    ],
)
async def test_an_ended_request_shows_its_outcome(
    bob, ask: Ask, fields: dict[str, Any], sentence: str
) -> None:
    gateway_request = await ask(ended_at=now(), **fields)
    page = (await bob.get(f"/approvals/requests/{gateway_request.id}")).text
    assert sentence in page
    assert 'name="decision"' not in page
    assert "rm -rf build" in (await bob.get("/approvals?state=gateways")).text


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        (
            "It was asked no more before the answer arrived.",
            "Die Anfrage wurde zurückgezogen, bevor die Antwort ankam.",
        ),
        (
            "The gateway knows nothing of it any more, nor whether the answer arrived.",
            "Das Gateway kennt diese Anfrage nicht mehr. Ob die Antwort ankam, ist unbekannt.",
        ),
        (
            "The gateway knows nothing of it any more.",
            "Das Gateway kennt diese Anfrage nicht mehr.",
        ),
        (
            "The gateway asks something else with the same id now.",
            "Das Gateway verwendet dieselbe ID jetzt für eine andere Anfrage.",
        ),
    ],
)
async def test_an_error_with_a_former_text_is_translated(
    bob, ask: Ask, stored: str, sentence: str
) -> None:
    gateway_request = await ask(state=RequestState.LOST, ended_at=now(), error=stored)
    path = f"/approvals/requests/{gateway_request.id}"
    page = (await bob.get(path, headers={"Accept-Language": "de"})).text
    assert sentence in page


async def test_after_an_approval_the_next_item_can_be_a_gateway_request(
    bob, ask: Ask, world: World, transaction: TransactionFactory
) -> None:
    task = world.make_task()
    approval, *links = world.make_approval(task, payload={"title": "Ship it", "reason": "So."})
    async with transaction() as session:
        session.add_all([task, approval, *links])
    gateway_request = await ask()
    path = f"/approvals/{approval.id}/answers"
    answered = await bob.post(path, data=approving(approval))
    where = f"/approvals/requests/{gateway_request.id}?answered={approval.id}"
    assert answered.headers["Location"] == where
    page = (await bob.get(where)).text
    assert f'action="/approvals/{approval.id}/undoings"' in page
    assert current(page) == [str(gateway_request.id)]


async def test_gateway_requests_appear_in_the_activity_feed(
    bob, rita, ask: Ask, world: World
) -> None:
    gateway_request = await ask("rm -rf ./build")
    await bob.post(
        f"/approvals/requests/{gateway_request.id}/answers",
        data={"sha256": gateway_request.sha256, "decision": "allow-once"},
    )
    hash = gateway_request.sha256[:12]
    way = f'href="/approvals/requests/{gateway_request.id}"'
    for query in ("", "?kind=questions", f"?board={world.board.id}"):
        feed = (await bob.get(f"/activity{query}")).text
        assert re.search(rf"<b>You</b> allowed a request of Worker once: .*Command {hash}", feed)
    activity = (await rita.get("/activity")).text
    assert f"<b>Bob</b> allowed a request of Worker once: Command {hash}" in activity
    assert way not in activity
    assert "rm -rf" not in activity


async def test_questions_with_the_same_id_are_shown_without_a_form(alice, ask: Ask) -> None:
    one, other = ({"question": text, "questionId": "a"} for text in ("Which colour?", "Where?"))
    request = await ask(json.dumps([one, other]), kind=RequestKind.QUESTION)
    page = (await alice.get(f"/approvals/requests/{request.id}")).text
    assert "Which colour?" in page
    assert "Where?" in page
    assert "Two of these questions have the same id" in page
    assert f'form="answer-{request.id}"' not in page
