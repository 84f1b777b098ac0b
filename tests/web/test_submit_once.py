"""A form that is sent twice is executed once."""

import hashlib
import re
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import func, select, update
from starlette.types import Message, Receive, Scope, Send

from core.clock import now
from core.db.engine import TransactionFactory
from models import Comment, IdempotencyKey, Invite, SignIn, Task, User
from tests.support.skill_archives import FILES, make_zip
from tests.support.world import World
from web.skills.pack_views import UPLOAD_ENCODING
from web.tasks import conversation_views
from web.ui import posted_forms, render
from web.ui.posted_forms import REPEATS, FormFieldsExtension
from web.ui.render import TEMPLATES, environment

FORM_ID = re.compile(r'name="form_id" value="([0-9a-f]{32})"')
HTMX = {"HX-Request": "true"}


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    task = world.make_task("Write the notes")
    async with transaction() as session:
        session.add(task)
    return task


@pytest.fixture
def path(world: World, task: Task) -> str:
    return f"/boards/{world.board.id}/tasks/{task.id}"


async def read_form_id(client: httpx2.AsyncClient, path: str) -> str:
    [first, *_] = FORM_ID.findall((await client.get(path)).text)
    return first


async def count(transaction: TransactionFactory, model: type) -> int:
    async with transaction() as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0


async def test_a_form_that_is_sent_again_leads_where_it_led(alice, path, transaction) -> None:
    form = {"message": "Only once", "form_id": await read_form_id(alice, path)}
    first = await alice.post(f"{path}/comments", data=form)
    again = await alice.post(f"{path}/comments", data=form)
    assert (first.status_code, again.status_code) == (303, 303)
    assert again.headers["Location"] == first.headers["Location"]
    assert await count(transaction, Comment) == 1


async def test_htmx_loads_the_page_again(alice, path, transaction) -> None:
    form = {"message": "Only once", "form_id": await read_form_id(alice, path)}
    assert (await alice.post(f"{path}/comments", data=form, headers=HTMX)).status_code == 200
    again = await alice.post(f"{path}/comments", data=form, headers=HTMX)
    assert (again.status_code, again.headers["HX-Refresh"]) == (200, "true")
    assert await count(transaction, Comment) == 1


async def test_another_text_in_the_same_form_is_another_form(alice, path, transaction) -> None:
    form_id = await read_form_id(alice, path)
    for message in ("One", "Two"):
        await alice.post(f"{path}/comments", data={"message": message, "form_id": form_id})
    assert await count(transaction, Comment) == 2


async def test_each_form_has_an_id_of_its_own(alice, path) -> None:
    ids = FORM_ID.findall((await alice.get(path)).text + (await alice.get(path)).text)
    assert len(ids) == len(set(ids)) > 1


def test_every_form_of_every_template_has_an_id() -> None:
    extension, repeated = FormFieldsExtension(environment), list[str]()
    for file in TEMPLATES.rglob("*.html"):
        source = file.read_text()
        posts = source.count('method="post"')
        compiled = extension.preprocess(source, file.name)
        assert compiled.count("{{ form_origin_field() }}") == posts, file
        assert compiled.count("{{ form_id_field() }}") == posts - source.count(REPEATS), file
        repeated += [str(file.relative_to(TEMPLATES))] * source.count(REPEATS)
    assert sorted(repeated) == [
        "_sidebar_boards.html",
        "boards/_board_table.html",
        "boards/_bulk_bar.html",
        "boards/_card_menu.html",
        "skills/_selection_bar.html",
        "skills/fetches.html",
        "skills/packs.html",
    ]


async def test_a_new_task_that_is_sent_twice_is_added_once(alice, world, transaction) -> None:
    board = f"/boards/{world.board.id}"
    page = (await alice.get(f"{board}/tasks/new")).text
    [own] = [form for form in page.split("<form")[1:] if "new-task-form" in form]
    form = {"title": "Only one", "priority": "low", "form_id": FORM_ID.findall(own)[0]}
    answers = [await alice.post(f"{board}/tasks", data=form) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    async with transaction() as session:
        added = select(func.count()).where(Task.title == "Only one")
        assert await session.scalar(added) == 1


async def test_an_upload_that_is_sent_twice_is_executed_once(alice, transaction) -> None:
    page = (await alice.get("/skills/packs/new")).text
    [own] = [form for form in page.split("<form")[1:] if UPLOAD_ENCODING in form]
    form = {"pack_name": "Shipyard", "form_id": FORM_ID.findall(own)[0]}
    files = {"archive": ("pack.zip", make_zip(FILES), "application/zip")}
    first, again = [await alice.post("/skills/packs/uploads", data=form, files=files) for _ in "12"]
    assert first.request.headers["Content-Type"] != again.request.headers["Content-Type"]
    assert (first.status_code, again.status_code) == (303, 303), first.text
    assert first.headers["Location"] == again.headers["Location"]
    assert await count(transaction, IdempotencyKey) == 1


async def test_a_rejected_form_may_be_sent_again(alice, world, path, transaction) -> None:
    form = {"message": "x", "form_id": await read_form_id(alice, path)}
    missing = f"/boards/{world.board.id}/tasks/{world.board.id}/comments"
    assert (await alice.post(missing, data=form)).status_code == 404
    assert (await alice.post(f"{path}/comments", data=form | {"message": ""})).status_code == 422
    assert await count(transaction, IdempotencyKey) == 0
    assert (await alice.post(f"{path}/comments", data=form)).status_code == 303


async def test_a_form_id_of_another_user_is_a_new_form(alice, bob, path, transaction) -> None:
    form = {"message": "Both say it", "form_id": await read_form_id(alice, path)}
    await alice.post(f"{path}/comments", data=form)
    await bob.post(f"{path}/comments", data=form)
    assert await count(transaction, Comment) == 2


@pytest.mark.parametrize("form_id", ["", "x", "0" * 31, "0" * 33, "A" * 32])
async def test_an_id_that_is_none_of_ours_is_ignored(alice, path, transaction, form_id) -> None:
    for _ in range(2):
        await alice.post(f"{path}/comments", data={"message": "x", "form_id": form_id})
    assert await count(transaction, Comment) == 2


async def test_a_signed_out_user_gets_no_answer(alice, anonymous, path) -> None:
    form = {"message": "x", "form_id": await read_form_id(alice, path)}
    await alice.post(f"{path}/comments", data=form)
    answer = await anonymous.post(f"{path}/comments", data=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")


async def test_the_content_of_a_form_cannot_be_guessed_from_what_is_stored(
    alice, path, transaction
) -> None:
    form = {"message": "My password", "form_id": await read_form_id(alice, path)}
    sent = await alice.post(f"{path}/comments", data=form)
    body = sent.request.content
    async with transaction() as session:
        [stored] = await session.scalars(select(IdempotencyKey))
    for guess in (body, b"\0".join([f"{path}/comments".encode(), body])):
        assert hashlib.sha256(guess).hexdigest() not in f"{stored.key} {stored.fingerprint}"


async def test_a_form_that_needs_a_recent_sign_in_is_executed_after_it(
    alice, world, transaction
) -> None:
    async def set_sign_in_age(age: timedelta) -> None:
        async with transaction() as session:
            await session.execute(update(SignIn).values(authenticated_at=now() - age))

    async with transaction() as session:
        (await session.get_one(User, world.alice.id)).password_hash = "a hash"
    form = {"invited_email": "new@example.com", "role": "owner", "access": "read"}
    form["form_id"] = "0" * 32
    await set_sign_in_age(timedelta(days=1))
    asked = await alice.post("/people/invites", data=form)
    assert asked.headers["Location"].startswith("/sign-in/again")
    await set_sign_in_age(timedelta())
    done = await alice.post("/people/invites", data=form)
    assert not done.headers.get("Location", "").startswith("/sign-in/again")
    assert await count(transaction, Invite) == 1


async def test_a_page_that_answers_a_form_is_sent_again(alice) -> None:
    form = {"version": "0", "name": "Nightly", "effect": "deny", "action": "try"}
    form["form_id"] = "1" * 32
    first = await alice.post("/settings/policy/rules", data=form)
    again = await alice.post("/settings/policy/rules", data=form)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["Content-Type"] == first.headers["Content-Type"]


async def test_a_page_that_was_cut_off_leads_back_to_the_form(alice, monkeypatch) -> None:
    monkeypatch.setattr(render, "MAX_WHOLE_LENGTH", 0)
    monkeypatch.setattr(render, "SLICE_LENGTH", 1_000)
    form = {"version": "0", "name": "Nightly", "effect": "deny", "action": "try"}
    form["form_id"] = "1" * 32
    path, page = "/settings/policy/rules", "/settings/policy/rules/new"
    with monkeypatch.context() as closing:
        closing.setattr(alice, "_transport", close_after_the_first_part(alice._transport))
        with pytest.raises(OSError, match="closed"):
            await alice.post(path, data=form)
    again = await alice.post(path, data=form, headers={"Referer": f"http://mission.test{page}"})
    assert (again.status_code, again.headers["Location"], again.text) == (303, page, "")


@pytest.mark.parametrize(
    ("page", "location"),
    [
        ("/€", "/%E2%82%AC"),
        ("/a\r\nSet-Cookie: x", "/aSet-Cookie:%20x"),
        ("/a?q=€\r\n", "/a?q=%E2%82%AC"),
        ("/\x01\\b", "/%01%5Cb"),
        ("/\t/other.test", "/"),
        ("//other.test/a", "/a"),
        ("\\/\\other.test", "/other.test"),
        ("//[", "/"),
        ("", "/"),
        ("/" + "€" * 20_000, "/" + "%E2%82%AC" * 20_000),
    ],
)
async def test_a_form_leads_to_a_page_of_ours_whatever_it_names(
    alice, path, page, location
) -> None:
    shown = (await alice.get(path)).text
    signed = re.search(r'name="form_origin" value="([^."]+\.[^."]+\.)', shown)
    assert signed
    form = {"message": "x", "form_id": "2" * 32, "form_origin": signed[1] + page}
    await alice.post(f"{path}/comments", data=form, headers=HTMX)
    again = await alice.post(f"{path}/comments", data=form)
    assert (again.status_code, again.headers["Location"]) == (303, location)


def close_after_the_first_part(transport: httpx2.ASGITransport) -> httpx2.ASGITransport:
    """Return a transport whose connection is closed while a long response is sent."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        sent: list[Message] = []

        async def send_part(message: Message) -> None:
            if len(sent) == 2:  # the start and the first part of the body
                raise OSError("closed")
            sent.append(message)
            await send(message)

        await transport.app(scope, receive, send_part)

    return httpx2.ASGITransport(app, client=transport.client)


async def test_a_form_is_not_executed_again_after_an_error_that_follows_the_commit(
    alice, path, transaction, monkeypatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ConnectionError

    form = {"message": "Once", "form_id": await read_form_id(alice, path)}
    with monkeypatch.context() as broken:
        broken.setattr(conversation_views, "load_conversation", fail)
        failed = await alice.post(f"{path}/comments", data=form, headers=HTMX)
    assert failed.status_code == 503
    assert await count(transaction, Comment) == 1
    monkeypatch.setattr(posted_forms, "MAX_WAITS", 1)
    again = await alice.post(f"{path}/comments", data=form, headers=HTMX)
    assert again.status_code == 409
    assert await count(transaction, Comment) == 1
