"""Transcripts of sessions. The messages are those of a real gateway 2026.9.6."""

from typing import Any

from web.gateways.session_presenter import parse_transcript

AT = 1_795_603_318_964


def make_message(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, "timestamp": AT, **more}


def call(id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "toolCall", "id": id, "name": "exec", "arguments": arguments}


def test_tool_results_are_attached_to_their_calls() -> None:
    first, second = call("1", command="echo\n  hello"), call("2", path="x", depth=2)
    tool_calls = make_message("assistant", [{"type": "text", "text": "I look."}, first, second])
    answer = make_message(
        "toolResult", [{"type": "text", "text": "hello"}], toolCallId="1", isError=False
    )
    failed = make_message("toolResult", "no such file", toolCallId="2", isError=True)
    [one] = parse_transcript([tool_calls, answer, failed])
    assert (one.role, one.text) == ("assistant", "I look.")
    assert [(c.title, c.result, c.has_failed) for c in one.tool_calls] == [
        ("echo hello", "hello", False),
        ("x", "no such file", True),
    ]
    assert one.tool_calls[0].arguments == "echo\n  hello"
    assert one.tool_calls[1].arguments == '{\n  "path": "x",\n  "depth": 2\n}'
    assert one.sent_at
    assert one.sent_at.year == 2026


def test_empty_messages_are_omitted_but_errors_shown() -> None:
    rows = [
        make_message("assistant", []),
        make_message("assistant", [], stopReason="error", errorMessage="404 model_not_found"),
        make_message("user", "  Hello  "),
        make_message("custom", "Compacted"),
        make_message("toolResult", "of a call that we did not see", toolCallId="9"),
    ]
    found = parse_transcript(rows)
    assert [(one.role, one.text, one.error) for one in found] == [
        ("assistant", "", "404 model_not_found"),
        ("user", "Hello", ""),
        ("note", "Compacted", ""),
        ("note", "of a call that we did not see", ""),
    ]
    assert len({one.id for one in found}) == 4


def test_invalid_messages_are_ignored() -> None:
    rows: list[dict[str, Any]] = [
        {},
        {"role": 5, "content": 7},
        {"role": "user", "content": {"text": "x"}},
        {"role": "toolResult", "toolCallId": ["1"], "content": "x"},
        make_message("user", [None, 5, {"type": "text"}, {"type": "text", "text": 5}]),
        make_message("assistant", [{"type": "toolCall", "id": 5, "name": None}]),
        make_message("assistant", [{"type": "toolCall", "id": "x", "name": "n", "arguments": [1]}]),
        {"role": "user", "content": "a", "timestamp": "soon", "__openclaw": 5},
        {"role": "user", "content": "a", "timestamp": 10**30},
        {"role": "user", "content": "a", "timestamp": True, "__openclaw": {"seq": "1"}},
    ]
    found = parse_transcript(rows)
    assert [one.text for one in found if one.role == "user"] == ["a", "a", "a"]
    assert all(one.sent_at is None for one in found[-3:])


def test_long_texts_are_truncated_with_a_note() -> None:
    [one] = parse_transcript([make_message("user", "x" * 30_000)])
    assert len(one.text) < 20_100
    assert one.text.endswith("and 10,000 more characters")
