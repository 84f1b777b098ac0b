"""Templates for payloads: values, filters, conditions, hostile templates and payloads."""

from datetime import UTC, datetime, timedelta

import pytest

from core.errors import Invalid
from services.messages import extract_mentions
from services.payload_templates import (
    MAX_TEMPLATE_LENGTH,
    MAX_VALUE_LENGTH,
    Operator,
    PayloadTemplate,
    TemplateProblem,
    build_data,
    escape_markdown,
    format_value,
    holds_condition,
    parse_template,
    render_message,
    render_task,
    render_template,
)
from tests.support.cpu_time import MAX_CPU_SECONDS, measure_cpu
from tests.support.forge_payloads import github_issue
from web.ui.markdown import render_markdown

AT = datetime(2026, 3, 28, 12, tzinfo=UTC)
DATA = build_data(
    github_issue() | {"n": 0, "no": False, "null": None, "empty": ""},
    {"X-GitHub-Event": "issues"},
    description="Issues",
    received_at=AT,
)


def render(text, data=DATA, max_length=1_000, escape=str):
    return render_template(
        parse_template(text, "title"), data, max_length=max_length, escape=escape
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no placeholder } }} {", "no placeholder } }} {"),
        ("{{ issue.title }}", "The page is blank"),
        ("{{issue.number}}/{{ n }}/{{no}}", "7/0/false"),
        ("{{ issue.labels.*.name }}", "bug, urgent"),
        ("{{ issue.labels.1.name | upper }}", "URGENT"),
        ("{{ issue.body | first_line | truncate: 6 }}", "Open …"),
        ("{{ @headers.x-github-event }} {{ @webhook | lower }}", "issues issues"),
        ("{{ @received_at }}", "2026-03-28T12:00:00+00:00"),
        ('{{ nothing | default: "a | b: c" }}', "a | b: c"),
        ('{{ empty | default: "none" }}', "none"),
        ("{{ issue.user }}", '{\n  "login": "octo"\n}'),
        ("{{ issue.title | json }}", '"The page is blank"'),
    ],
)
def test_values_are_inserted(text, expected) -> None:
    assert render(text).text == expected


@pytest.mark.parametrize(
    "path",
    ["nothing", "null", "issue.title.length", "issue.labels.2.name", "issue.labels.-1", "n.*"],
)
def test_a_missing_value_is_empty_and_reported(path) -> None:
    assert render(f"[{{{{ {path} }}}}]") == ("[]", [path])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{{ a", "template_not_closed"),
        ("{{ " + "a" * 400 + " }}", "template_not_closed"),
        ("{{ }}", "template_path_invalid"),
        ("{{ a..b }}", "template_path_invalid"),
        ("{{ a b }}", "template_path_invalid"),
        ("{{ a.__class__() | x }}", "template_filter_invalid"),
        ("{{ a | }}", "template_filter_invalid"),
        ("{{ a | system }}", "template_filter_invalid"),
        ("{{ a | truncate }}", "template_filter_invalid"),
        ('{{ a | upper: "x" }}', "template_filter_invalid"),
        ("{{ a " + "| trim" * 6 + " }}", "template_filter_invalid"),
        ("{{ a }}" * 101, "template_too_many"),
    ],
)
def test_an_invalid_template_is_rejected_with_its_line(text, code) -> None:
    with pytest.raises(Invalid) as caught:
        parse_template(f"\n{text}", "title")
    assert (caught.value.code, caught.value.field) == (code, "title")
    assert caught.value.details.get("line", 2) == 2


def test_attributes_of_objects_cannot_be_reached() -> None:
    for path in ("issue.__class__", "issue.title.__len__", "@payload.keys", "@headers.__init__"):
        assert render(f"{{{{ {path} }}}}").missing == [path]


def test_the_result_is_cut() -> None:
    assert len(render("x{{ issue.body }}" * 100, max_length=500).text) == 500
    huge = {"a": ["x" * 1_000_000] * 1_000, "n": 10**5_000}
    assert len(render("{{ a }}{{ n }}", huge, max_length=10**9).text) <= MAX_VALUE_LENGTH + 10


@pytest.mark.parametrize(
    "value",
    ["\u200b" * 1_000_000, "*" * 1_000_000, [{"n": "é" * 100}] * 50_000, {"k": "v" * 10**6}],
)
def test_a_hostile_payload_costs_little(value) -> None:
    """The work is bounded by the length of the result, however often a value is inserted."""
    text = "{{ a }}" * 80 + "{{ a.*.n }}" * 20
    with measure_cpu() as measured:
        rendered = render(text, {"a": value}, max_length=100_000, escape=escape_markdown)
    assert measured.seconds < MAX_CPU_SECONDS
    assert len(rendered.text) <= 100_000


def test_a_deep_payload_is_cut() -> None:
    value: object = 1
    for _ in range(5_000):
        value = {"a": [value]}
    assert "…" in format_value(value)
    assert render("{{ " + "a.0." * 60 + "a }}", value).text


def test_unstorable_and_invisible_characters_are_removed() -> None:
    assert render("{{ a }}", {"a": "a\0b\ud800c\u202ed\u200b"}).text == "a\ufffdb?cd"


MARKDOWN = [
    "# Title\n## x",
    "**bold** _it_ `code` ~~no~~ ![i](http://a/b) [l](javascript:alert(1)) <b>x</b>",
    "- a\n+ b\n1. c\n2) d\n* e",
    "> quote\n\ttext\n    code",
    "a | b\n--- | ---\n1 | 2",
    "Title\n===\nOther\n---",
    "```\ncode\n```\n~~~\nx",
    "<script>alert(1)</script> <http://a.b> &lt; \\* a\\",
    "[a]: http://x\n[a]",
]


@pytest.mark.parametrize("text", MARKDOWN)
def test_markdown_of_a_payload_is_shown_as_plain_text(text) -> None:
    html = render_markdown(escape_markdown(text)).html
    assert not {"<strong", "<em", "<code", "<ul", "<ol", "<table", "<blockquote", "<pre", "<hr"} & {
        f"<{part.split('>')[0].split(' ')[0]}" for part in html.split("<")[1:]
    }
    assert 'href="javascript' not in html


def test_a_value_in_markdown_mentions_nobody() -> None:
    text = "@lead (@Olga) é@lead **@all** @@x a@example.com _@worker-1_ @Ольга"
    escaped = escape_markdown(text)
    assert extract_mentions(escaped) == set()
    assert "a@example.com" in escaped
    assert extract_mentions(text) >= {"lead", "olga", "all"}


def test_a_task_is_built_of_a_payload() -> None:
    template = PayloadTemplate.parse(
        {
            "title": "Issue {{ issue.number }}:\n{{ issue.title }}",
            "description": "# From {{ repository.full_name }}\n\n{{ issue.body }}",
            "priority": '{{ issue.priority | default: "HIGH" }}',
            "tags": "support, {{ issue.labels.*.name }}, bug",
            "due": "+3d",
        }
    )
    task = render_task(template, DATA, AT)
    assert task.title == "Issue 7: The page is blank"
    assert task.description.startswith(
        "# From acme/app\n\nOpen \\*\\*any\\*\\* page.\n\n\\# Expected"
    )
    assert (task.priority, task.due_at) == ("high", AT + timedelta(days=3))
    assert task.tags == ["support", "bug", "urgent"]
    assert (task.missing, task.problems) == (["issue.priority"], [])


def test_unusable_texts_are_reported() -> None:
    template = PayloadTemplate.parse({"priority": "{{ issue.title }}", "due": "soon"})
    task = render_task(template, DATA, AT)
    assert task.problems == [
        TemplateProblem("priority_unknown", "the page is blank"),
        TemplateProblem("due_invalid", "soon"),
    ]
    assert (task.title, task.priority, task.due_at) == ("", "medium", None)


@pytest.mark.parametrize(
    ("due", "expected"),
    [
        ("2026-04-01", datetime(2026, 4, 1, tzinfo=UTC)),
        ("2026-04-01T10:00:00+02:00", datetime(2026, 4, 1, 8, tzinfo=UTC)),
        ("+0d", AT),
        ("0001-01-01", None),
        ("+99999d", None),
        ("9999-12-31T23:59:59-14:00", None),
    ],
)
def test_due_dates_are_dates_times_or_days(due, expected) -> None:
    assert render_task(PayloadTemplate.parse({"due": due}), DATA, AT).due_at == expected


@pytest.mark.parametrize(
    ("path", "operator", "value", "expected"),
    [
        ("", Operator.EQUALS, "x", True),
        ("action", Operator.EQUALS, "opened", True),
        ("action", Operator.EQUALS, "open", False),
        ("action", Operator.DIFFERS, "closed", True),
        ("issue.labels.*.name", Operator.CONTAINS, "urgent", True),
        ("issue.labels.*.name", Operator.CONTAINS, "Urgent", False),
        ("issue.assignee", Operator.EXISTS, "", False),
        ("issue", Operator.EXISTS, "", True),
        ("nothing", Operator.CONTAINS, "", True),
        ("n", Operator.EQUALS, "0", True),
    ],
)
def test_a_condition_compares_a_value(path, operator, value, expected) -> None:
    template = PayloadTemplate(
        condition_path=path, condition_operator=operator, condition_value=value
    )
    assert holds_condition(template, DATA) is expected


def test_a_message_is_plain_text() -> None:
    template = PayloadTemplate.parse({"message": "{{ issue.body }} {{ nothing }}"})
    assert render_message(template, DATA).text.startswith("Open **any** page.")
    assert render_message(template, DATA).missing == ["nothing"]


@pytest.mark.parametrize(
    "values",
    [
        {"condition_operator": "like"},
        {"condition_path": "a..b"},
        {"title": "{{"},
        {"description": "x" * (MAX_TEMPLATE_LENGTH + 1)},
        {"tags": 7},
    ],
)
def test_an_invalid_field_of_a_template_is_named(values) -> None:
    with pytest.raises(Invalid) as caught:
        PayloadTemplate.parse(values)
    assert caught.value.field == next(iter(values))
