"""Rendering of components, static files and errors."""

import asyncio
import re
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from jinja2 import nodes
from starlette.requests import Request

import app
from core.clock import now
from core.config.settings import Settings
from core.errors import Conflict, TooMany, Unavailable
from models import new_id
from web.ui import assets, render
from web.ui.assets import STATIC
from web.ui.translation import SOURCE, reader_language

SHORTCUTS = render.TEMPLATES / "_shortcuts.html"
RENDERED_FROM_CACHE = re.compile(r"render_(?:cached|macro)\('([^']+)'")
TEMPLATES = sorted(render.TEMPLATES.rglob("*.html"))
MACROS = '{% import "macros/ui.html" as ui %}{% import "macros/forms.html" as forms %}'


def render_markup(markup: str, **context) -> str:
    """Render a piece of a template."""
    return render.environment.from_string(MACROS + markup).render(**context)


def make_request(*, path: str = "/boards", **headers: str) -> Request:
    """Return a request as the error handlers get it."""
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


def test_a_field_shows_the_submitted_value_and_its_error() -> None:
    field = render_markup(
        "{{ forms.field('title', 'Title', typed, error='Too long.', hint='A line', maxlength=5) }}",
        typed='<b>"',
    )
    assert '<label for="field-title" dir="auto">Title</label>' in field
    assert 'value="&lt;b&gt;&#34;"' in field
    assert 'aria-invalid="true"' in field
    assert 'aria-describedby="field-title-error field-title-hint"' in field
    assert re.search(r'id="field-title-error">.*Too long\.', field)
    assert 'maxlength="5"' in field


def test_a_field_accepts_any_attribute() -> None:
    field = render_markup("{{ forms.field('q', 'Q', data_draft='<', required=True, list=none) }}")
    assert ' data-draft="&lt;" required>' in field
    assert "list" not in field


def test_a_text_keeps_its_first_line_break() -> None:
    assert ">\n\nsecond</textarea>" in render_markup(
        "{{ forms.area('text', 'Text', '\\nsecond') }}"
    )


def test_a_password_is_never_rendered() -> None:
    assert "value=" not in render_markup(
        "{{ forms.password('password', 'Password', error='Wrong.') }}"
    )


def test_a_selected_option_stays_selected() -> None:
    chosen = render_markup("{{ forms.select('n', 'Number', [(1, 'One'), (2, 'Two')], 2) }}")
    assert '<option value="2" selected>Two</option>' in chosen
    ticked = render_markup("{{ forms.choices('n', 'Numbers', [(1, 'One'), (2, 'Two')], ['2']) }}")
    assert re.findall(r'value="(\d)" checked', ticked) == ["2"]


def test_components_are_rendered_for_screen_readers() -> None:
    assert '5<span class="vh"> waiting for you' in render_markup("{{ ui.waiting_badge(5) }}")
    assert '<span class="vh">High priority</span>' in render_markup("{{ ui.priority('high') }}")
    assert '74<span class="vh"> of 100 confidence' in render_markup("{{ ui.confidence(74.2) }}")
    moment = now() - timedelta(minutes=4)
    age = render_markup("{{ ui.time_ago(moment, ago=True) }}", moment=moment)
    assert re.search(
        r'<time datetime="[^"]+Z" title="[^"]+UTC" data-age="ago">4 min ago</time>', age
    )


def test_names_are_escaped() -> None:
    name = '"><script>alert(1)</script>'
    piece = render_markup(
        "{{ ui.tag(name, name) }}{{ ui.toast(name, name) }}"
        "{{ ui.agent_state(name) }}{{ ui.copy_field(name) }}"
        "{{ ui.agent_avatar(id, name, name) }}{{ ui.user_avatar(name) }}{{ ui.badge(name) }}"
        "{{ ui.diff(name, [(1, '+', name)]) }}{{ ui.palette_option('hand', name, name) }}",
        name=name,
        id=new_id(),
    )
    assert "<script" not in piece


def test_no_component_has_a_style_attribute() -> None:
    piece = render_markup(
        "{{ ui.heartbeat_text('2 of 10 min', 20) }}"
        "{{ ui.agent_avatar(id) }}{{ ui.tag('x', '0a0b0c') }}",
        id=1,
    )
    assert "style=" not in piece
    assert 'fill="#0a0b0c"' in piece


def test_every_icon_used_by_a_template_exists() -> None:
    for template in TEMPLATES:
        for name in re.findall(r"\bicon\('([a-z0-9-]+)'[,)]", template.read_text()):
            assert assets.render_icon(name), template


def test_an_unknown_icon_raises_an_error() -> None:
    with pytest.raises(LookupError):
        assets.render_icon("unicorn")


def test_every_key_that_does_something_is_in_the_help() -> None:
    shown = {"Enter": "↵"}
    listed = set(re.findall(r"\('([^']+)', (?:_|pgettext)\(", SHORTCUTS.read_text()))
    markup = "".join(template.read_text() for template in TEMPLATES)
    keys = {shown.get(key, key.upper()) for key in re.findall(r'data-key="([^"{]+)"', markup)}
    script = (STATIC / "shortcuts.js").read_text()
    keys |= {key.upper() for key in re.findall(r'key === "(.)"', script)} - {"G"}
    go = re.search(r"const GO = \{(.*?)\}", script)
    assert go
    keys |= {f"G {key.upper()}" for key in re.findall(r"(\w): ", go[1])}
    assert keys - listed == set()


def test_nothing_moves_for_users_who_prefer_less_motion() -> None:
    """The durations of tokens are 0 for them; other animations have a rule of their own."""
    for line in (STATIC / "app.css").read_text().splitlines():
        for value in re.findall(r"\b(?:animation|transition): ([^;}]+)", line):
            is_still = "prefers-reduced-motion" in line or value.startswith("connecting 0s")
            assert is_still or re.search(r"var\(--(fast|mid|slow|flash)\)", value), value


def test_the_sprite_matches_its_source_files() -> None:
    assert assets.SPRITE.read_text() == assets.build_sprite(), "run: python -m web.ui.assets"


def test_scripts_exist_and_vendored_ones_have_a_licence() -> None:
    for script in assets.SCRIPTS:
        assert (STATIC / script).is_file()
    ours = {file.name for file in STATIC.glob("*.js")} - {"theme.js", "service_worker.js"}
    assert ours <= set(assets.SCRIPTS)
    for script in (STATIC / "vendor").glob("*.js"):
        assert list(script.parent.glob(f"{'htmx' if 'hx' in script.name else 'Sortable'}*LICENSE*"))


def test_scripts_share_only_properties_of_window() -> None:
    """Each is in a block of its own in the joined file."""
    for script in assets.SCRIPTS:
        if not script.startswith("vendor/"):
            declared = r"^(?:async function|function|const|let|class|var) .*"
            assert re.findall(declared, (STATIC / script).read_text(), re.MULTILINE) == [], script


async def test_an_error_for_htmx_is_shown_in_a_toast() -> None:
    no = Conflict("blocked", "It waits for 2 <tasks>.")
    answer = await render.handle_app_error(
        make_request(HX_Request="true", HX_Request_Type="full"), no
    )
    assert answer.status_code == 409
    assert answer.headers["HX-Retarget"] == "#toasts"
    assert answer.headers["HX-Push-Url"] == "false"
    assert b"It waits for 2 &lt;tasks&gt;." in answer.body
    assert b"<html" not in answer.body


async def test_an_error_for_a_browser_is_shown_on_a_page() -> None:
    answer = await render.handle_app_error(
        make_request(), Conflict("blocked", "It waits for 2 <tasks>.")
    )
    assert answer.status_code == 409
    assert b"It waits for 2 &lt;tasks&gt;." in answer.body
    assert b"<html" in answer.body


async def test_a_rate_limit_response_has_retry_after() -> None:
    answer = await render.handle_app_error(make_request(), TooMany(7))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


async def test_an_unavailable_database_is_reported_without_a_query() -> None:
    reader_language.set(SOURCE)  # tests of a process share a context
    answer = await render.handle_server_error(make_request(), Unavailable())
    assert answer.status_code == 503
    assert b"The database does not answer." in answer.body


async def test_an_unexpected_error_shows_no_details() -> None:
    answer = await render.handle_server_error(make_request(), RuntimeError("secret words"))
    assert answer.status_code == 500
    assert b"secret words" not in answer.body


def find_templates(pattern: str) -> set[str]:
    found = render.TEMPLATES.glob(pattern)
    return {path.relative_to(render.TEMPLATES).as_posix() for path in found}


def find_references(template: str) -> set[str]:
    """Return the templates that a template extends, imports, includes or renders once."""
    source = (render.TEMPLATES / template).read_text()
    tree = render.environment.parse(source)
    kinds = (nodes.Extends, nodes.Import, nodes.FromImport, nodes.Include)
    found = set(RENDERED_FROM_CACHE.findall(source))
    for node in tree.find_all(kinds):
        name = node.template
        parts = name.nodes if isinstance(name, nodes.Concat) else [name]
        pattern = "".join(part.value if isinstance(part, nodes.Const) else "*" for part in parts)
        found |= find_templates(pattern)
    return found


def test_every_template_is_rendered_or_included() -> None:
    root = render.TEMPLATES.parent
    sources = [file for name in ("web", "api") for file in (root / name).glob("**/*.py")]
    text = "".join(file.read_text() for file in sources)
    reached: set[str] = set()
    added = set(re.findall(r'"([\w/]+\.html)"', text))
    while added:
        reached |= added
        added = {name for template in added for name in find_references(template)} - reached
    assert reached == find_templates("**/*.html")


@pytest.fixture
def no_templates() -> Iterator[None]:
    """No template has been compiled yet."""
    assert render.environment.cache is not None
    kept = dict(render.environment.cache.items())
    render.environment.cache.clear()
    yield
    for name, template in kept.items():
        render.environment.cache[name] = template


def test_all_compiled_templates_are_kept(no_templates: None) -> None:
    render.compile_templates(threading.Event())
    compiled = {
        name: render.environment.get_template(name) for name in render.environment.list_templates()
    }
    assert len(compiled) > 400
    assert all(render.environment.get_template(name) is one for name, one in compiled.items())


async def test_a_server_compiles_all_templates_when_it_starts(
    no_templates: None, settings: Settings
) -> None:
    application = app.build_app(settings)
    async with application.router.lifespan_context(application):
        await asyncio.wait_for(compiled(), 60)


async def compiled() -> None:
    """Return when all templates are compiled."""
    names = render.environment.list_templates()
    while len(render.environment.cache or ()) < len(names):
        await asyncio.sleep(0.01)
