"""Questions of approvals are stored in English, and shown in the language of the reader."""

import pytest

from models import Event, EventType
from web.activity.event_texts import describe_event
from web.approvals.sentences import translate_question
from web.ui.translation import reader_language

GERMAN = {"Accept-Language": "de"}
STORED = "Complete the task “Write the report”?"
SHOWN = "Aufgabe „Write the report“ abschließen?"


@pytest.fixture
def german():
    token = reader_language.set("de")
    yield
    reader_language.reset(token)


@pytest.mark.parametrize(
    ("stored", "data", "shown"),
    [
        (STORED, {}, SHOWN),
        (STORED, {"action_type": "task.complete", "titles": ["Write the report"]}, SHOWN),
        ("Complete the task?", {"titles": []}, "Aufgabe abschließen?"),
        (
            "Complete the task “A” and 2 more?",
            {"titles": ["A", "B", "C"]},
            "Aufgabe „A“ und 2 weitere abschließen?",
        ),
        (
            "Complete the task “A” and 2 more?",
            {"action_type": "task.complete"},
            "Aufgabe „A“ und 2 weitere abschließen?",
        ),
        ("Go on with “A”?", {"action_type": "", "titles": ["A"]}, "Go on with “A”?"),
        ("Deploy site?", {"action_type": "deploy_site"}, "„Deploy site“ erlauben?"),
        (
            "Send the email for “A”?",
            {"action_type": "email.send", "titles": ["A"]},
            "„Send email“ für „A“ erlauben?",
        ),
        ("Deploy the site?", {}, "Deploy the site?"),
        ("Shall I paint it?", {"action_type": "task.complete"}, "Shall I paint it?"),
        (STORED, {"titles": ["Another"]}, STORED),
        ("", {}, ""),
        ("“" * 50_000 + "” and " * 50_000, {}, "“" * 50_000 + "” and " * 50_000),
    ],
)
def test_a_stored_question_is_translated_if_it_was_built(german, stored, data, shown) -> None:
    assert translate_question(stored, data) == shown


def test_the_kind_of_a_message_is_translated(german) -> None:
    sent = Event(type=EventType.MESSAGE_SENT, data={"kind": "TASK ASSIGNED"})
    assert describe_event(sent) == "Nachricht an einen Agenten gesendet: Aufgabe zugewiesen"


async def test_pages_show_a_question_in_the_language_of_the_reader(
    alice, bob, world, transaction
) -> None:
    task = world.make_task()
    async with transaction() as session:
        session.add(task)
    path = f"/boards/{world.board.id}/tasks/{task.id}"
    assert (await bob.post(f"{path}/questions")).status_code == 303
    for page in ("/activity", "/notifications", "/audit", path):
        shown = (await alice.get(page, headers=GERMAN)).text
        assert SHOWN in shown, page
        assert STORED not in shown, page
    assert STORED in (await alice.get("/activity")).text
    why = (await alice.get(f"{path}/why", headers=GERMAN)).text
    assert ">Aufgabe abschließen?</a>" in why
    assert "task.complete" not in why
