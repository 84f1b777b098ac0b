"""How pages are written: their pieces, the files they load, the refusals they show."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.requests import Request

from kit.clock import now
from kit.errors import Conflict, TooMany, Unavailable
from models import new_id
from web import html, icons
from web.assets import STATIC

TEMPLATES = sorted(html.TEMPLATES.rglob("*.html"))
MACROS = '{% import "macros/ui.html" as ui %}{% import "macros/forms.html" as forms %}'


def written(markup: str, **context) -> str:
    """Write a piece of a page."""
    return html.environment.from_string(MACROS + markup).render(**context)


def asked(*, path: str = "/boards", **headers: str) -> Request:
    """A request as the handlers of refusals get it."""
    raw = [
        (name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()
    ]
    return Request(
        {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": raw,
            "query_string": b"",
            "auth": None,
        }
    )


def test_a_field_keeps_what_was_typed_and_tells_what_is_wrong_with_it() -> None:
    field = written(
        "{{ forms.field('title', 'Title', typed, error='Too long.', hint='A line', maxlength=5) }}",
        typed='<b>"',
    )
    assert '<label for="field-title">Title</label>' in field
    assert 'value="&lt;b&gt;&#34;"' in field
    assert 'aria-invalid="true"' in field
    assert 'aria-describedby="field-title-error field-title-hint"' in field
    assert re.search(r'id="field-title-error">.*Too long\.', field)
    assert 'maxlength="5"' in field


def test_a_field_takes_any_attribute() -> None:
    field = written("{{ forms.field('q', 'Q', data_draft='<', required=True, list=none) }}")
    assert ' data-draft="&lt;" required>' in field
    assert "list" not in field


def test_a_text_keeps_its_first_line_break() -> None:
    assert ">\n\nsecond</textarea>" in written("{{ forms.area('text', 'Text', '\\nsecond') }}")


def test_a_password_is_never_given_back() -> None:
    assert "value=" not in written("{{ forms.password('password', 'Password', error='Wrong.') }}")


def test_what_was_chosen_stays_chosen() -> None:
    chosen = written("{{ forms.select('n', 'Number', [(1, 'One'), (2, 'Two')], 2) }}")
    assert '<option value="2" selected>Two</option>' in chosen
    ticked = written("{{ forms.choices('n', 'Numbers', [(1, 'One'), (2, 'Two')], ['2']) }}")
    assert re.findall(r'value="(\d)" checked', ticked) == ["2"]


def test_pieces_are_written_for_screens_and_for_screen_readers() -> None:
    assert '5<span class="vh"> waiting for you' in written("{{ ui.lamp(5) }}")
    assert '<span class="vh">High priority</span>' in written("{{ ui.prio('high') }}")
    assert '74<span class="vh"> of 100 confidence' in written("{{ ui.conf(74.2) }}")
    moment = now() - timedelta(minutes=4)
    age = written("{{ ui.when(moment, ago=True) }}", moment=moment)
    assert re.search(
        r'<time datetime="[^"]+Z" title="[^"]+UTC" data-age="ago">4 min ago</time>', age
    )


def test_names_that_people_chose_are_shown_and_never_obeyed() -> None:
    name = '"><script>alert(1)</script>'
    piece = written(
        "{{ ui.tag(name, name) }}{{ ui.toast(name, name) }}{{ ui.state(name) }}{{ ui.copy(name) }}"
        "{{ ui.agent_av(id, name, name) }}{{ ui.person_av(name) }}{{ ui.badge(name) }}"
        "{{ ui.diff(name, [(1, '+', name)]) }}{{ ui.option('hand', name, name) }}",
        name=name,
        id=new_id(),
    )
    assert "<script" not in piece


def test_nothing_that_is_written_has_a_style_of_its_own() -> None:
    piece = written(
        "{{ ui.beat('2 of 10 min', 20) }}{{ ui.agent_av(id) }}{{ ui.tag('x', '0a0b0c') }}", id=1
    )
    assert "style=" not in piece
    assert 'fill="#0a0b0c"' in piece


@pytest.mark.parametrize(
    "template", TEMPLATES, ids=lambda path: str(path.relative_to(html.TEMPLATES))
)
def test_every_icon_that_a_template_names_exists(template: Path) -> None:
    for name in re.findall(r"icon\('([a-z0-9-]+)'[,)]", template.read_text()):
        assert icons.icon(name)


def test_an_icon_that_nobody_drew_is_our_own_mistake() -> None:
    with pytest.raises(LookupError):
        icons.icon("unicorn")


def test_the_sprite_is_what_its_drawings_say() -> None:
    assert icons.SPRITE.read_text() == icons.sprite(), "run: python -m web.icons"


def test_every_script_is_there_and_every_borrowed_one_brings_its_licence() -> None:
    for script in html.SCRIPTS:
        assert (STATIC / script).is_file()
    ours = {file.name for file in STATIC.glob("*.js")} - {"theme.js"}
    assert ours <= set(html.SCRIPTS)
    for script in (STATIC / "vendor").glob("*.js"):
        assert list(script.parent.glob(f"{'htmx' if 'hx' in script.name else 'Sortable'}*LICENSE*"))


async def test_a_form_that_htmx_sent_is_refused_in_a_toast() -> None:
    no = Conflict("blocked", "It waits for 2 <tasks>.")
    answer = await html.refused(asked(HX_Request="true", HX_Request_Type="full"), no)
    assert answer.status_code == 409
    assert answer.headers["HX-Retarget"] == "#toasts"
    assert answer.headers["HX-Push-Url"] == "false"
    assert b"It waits for 2 &lt;tasks&gt;." in answer.body
    assert b"<html" not in answer.body


async def test_a_form_that_a_browser_sent_is_refused_on_a_page() -> None:
    answer = await html.refused(asked(), Conflict("blocked", "It waits for 2 <tasks>."))
    assert answer.status_code == 409
    assert b"It waits for 2 &lt;tasks&gt;." in answer.body
    assert b"<html" in answer.body


async def test_who_comes_too_often_is_told_when_to_come_again() -> None:
    answer = await html.refused(asked(), TooMany(7))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


def test_when_the_database_is_away_the_page_says_so_without_asking_it() -> None:
    answer = html.failed_page(asked(), Unavailable())
    assert answer.status_code == 503
    assert b"The database does not answer." in answer.body


def test_what_nobody_expected_tells_nothing_of_what_it_was() -> None:
    answer = html.failed_page(asked(), RuntimeError("secret words"))
    assert answer.status_code == 500
    assert b"secret words" not in answer.body
