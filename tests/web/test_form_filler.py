"""Forms of rendered pages are filled in with submitted values."""

import pytest

from web.ui.posted_forms import fill_form

PAGE = """<html><body><main class="page">
<form method="get" action="/search"><input name="title"></form>
<details><summary>Rename</summary><dialog id="d">
<form method="post" action="/tasks/1">
<input type="hidden" name="form_id" value="new"><input type="hidden" name="version" value="2">
<input name="title" value="Old" required><textarea name="text">old &amp; gray</textarea>
<input type="checkbox" name="tags" value="a" checked><input type="checkbox" name="tags" value="b">
<select name="state"><option value="">-</option><option value="x" selected>X</option>
<option value="y">Y</option></select>
<input type="password" name="password"><button name="answer" value="yes">Go</button></form>
</dialog></details>
<form method="post" action="/tasks/1"><input type="hidden" name="kind" value="note">
<textarea name="text"></textarea></form>
<input name="far" form="other"><form id="other" method="post" action="/other"></form>
</main></body></html>"""


def fill(path: str, *fields: tuple[str, str]) -> str:
    def render_notice(is_filled: bool, rest: list[tuple[str, str]]) -> str:
        return f"[{is_filled} {rest}]"

    return fill_form(PAGE, path, fields, render_notice)


def test_all_kinds_of_fields_are_filled() -> None:
    page = fill(
        "/tasks/1",
        ("form_id", "old"),
        ("version", "1"),
        ("title", 'A "new" <title>'),
        ("text", "x</textarea>"),
        ("tags", "b"),
        ("state", "y"),
        ("answer", "yes"),
    )
    assert '<input type="hidden" name="form_id" value="old">' in page
    assert '<input type="hidden" name="version" value="1">' in page
    assert 'name="title" value="A &#34;new&#34; &lt;title&gt;" required="">' in page
    assert '<textarea name="text">\nx&lt;/textarea&gt;</textarea>' in page
    assert '<input type="checkbox" name="tags" value="a">' in page
    assert '<input type="checkbox" name="tags" value="b" checked="">' in page
    assert '<option value="x">X' in page
    assert '<option value="y" selected="">Y' in page
    assert '<details open="">' in page
    assert '<dialog id="d" open="">' in page
    assert '<form method="post" action="/tasks/1" data-restored="">[True []]' in page
    assert '<input type="password" name="password">' in page


def test_the_most_similar_form_is_filled() -> None:
    page = fill("/tasks/1", ("kind", "note"), ("text", "Note"), ("other", "rest"))
    assert "old &amp; gray</textarea>" in page
    assert "[True [('other', 'rest')]]" in page
    assert "\nNote</textarea>" in page
    assert "<details><summary>" in page


def test_a_field_outside_its_form_is_filled() -> None:
    assert '<input name="far" form="other" value="away">' in fill("/other", ("far", "away"))


@pytest.mark.parametrize("path", ["/search", "/missing"])
def test_without_the_form_the_values_are_in_the_notice(path: str) -> None:
    page = fill(path, ("form_id", "1"), ("title", "Kept"))
    assert page == PAGE.replace(
        '<main class="page">', "<main class=\"page\">[False [('title', 'Kept')]]"
    )
