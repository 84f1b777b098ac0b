"""Questions of workers in the inbox, and the page that answers them."""

import pytest

from core.db.engine import TransactionFactory
from models import AgentQuestion, Board
from services import questions
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
async def question(transaction: TransactionFactory, world: World) -> AgentQuestion:
    async with transaction() as session:
        board = await session.get(Board, world.board.id)
        assert board is not None
        board.workers_may_ask_people = True
        return await questions.ask_question(
            session, world.worker, board, "Which of the <b>two</b> logos?"
        )


async def test_the_inbox_shows_a_question_with_its_form(bob, rita, question) -> None:
    page = (await bob.get("/approvals")).text
    assert "Which of the &lt;b&gt;two&lt;/b&gt; logos?" in page
    assert f'action="/questions/{question.id}/answers"' in page
    box = f'data-suggest="board={question.board_id}" data-draft="answer-{question.id}">'
    assert box in page
    assert 'data-needs="1"' in page
    page = (await rita.get("/approvals")).text
    assert f"/questions/{question.id}" in page
    assert f'action="/questions/{question.id}/answers"' not in page
    assert 'data-needs="0"' in page


async def test_an_answer_ends_the_question(bob, alice, question) -> None:
    path = f"/questions/{question.id}"
    answered = await bob.post(f"{path}/answers", data={"answer": "The red one."})
    assert (answered.status_code, answered.headers["location"]) == (303, path)
    page = (await alice.get(path)).text
    assert "The red one." in page
    assert "Send answer" not in page
    again = await alice.post(f"{path}/answers", data={"answer": "The blue one."})
    assert again.status_code == 409
    assert "Somebody has answered this question already." in again.text
    assert path not in (await alice.get("/approvals")).text


async def test_a_blank_answer_is_refused(bob, question) -> None:
    refused = await bob.post(f"/questions/{question.id}/answers", data={"answer": " "})
    assert refused.status_code == 422
    assert "Send answer" in refused.text


async def test_who_may_not_answer(rita, dana, charlie, anonymous, question) -> None:
    path, fields = f"/questions/{question.id}", {"answer": "Me"}
    assert (await rita.get(path)).status_code == 200
    assert (await rita.post(f"{path}/answers", data=fields)).status_code == 403
    for stranger in (dana, charlie):
        assert (await stranger.get(path)).status_code == 404
        assert (await stranger.post(f"{path}/answers", data=fields)).status_code == 404
    assert (await anonymous.get(path, headers=HTMX)).status_code == 401
