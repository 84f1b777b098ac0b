"""What was said in a session, as it is shown. The messages are a real gateway's, of 2026.9.6."""

from typing import Any

from web.transcripts import sayings

AT = 1_795_603_318_964


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, "timestamp": AT, **more}


def call(id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "toolCall", "id": id, "name": "exec", "arguments": arguments}


def test_what_a_tool_answered_is_with_the_call_that_asked() -> None:
    first, second = call("1", command="echo\n  hello"), call("2", path="x", depth=2)
    asked = said("assistant", [{"type": "text", "text": "I look."}, first, second])
    answer = said("toolResult", [{"type": "text", "text": "hello"}], toolCallId="1", isError=False)
    failed = said("toolResult", "no such file", toolCallId="2", isError=True)
    [one] = sayings([asked, answer, failed])
    assert (one.by, one.text) == ("assistant", "I look.")
    assert [(c.title, c.answer, c.has_failed) for c in one.calls] == [
        ("echo hello", "hello", False),
        ("x", "no such file", True),
    ]
    assert one.calls[0].asked == "echo\n  hello"
    assert one.calls[1].asked == '{\n  "path": "x",\n  "depth": 2\n}'
    assert one.at
    assert one.at.year == 2026


def test_what_is_empty_is_left_out_and_an_error_is_not() -> None:
    rows = [
        said("assistant", []),
        said("assistant", [], stopReason="error", errorMessage="404 model_not_found"),
        said("user", "  Hello  "),
        said("custom", "Compacted"),
        said("toolResult", "of a call that we did not see", toolCallId="9"),
    ]
    found = sayings(rows)
    assert [(one.by, one.text, one.trouble) for one in found] == [
        ("assistant", "", "404 model_not_found"),
        ("user", "Hello", ""),
        ("note", "Compacted", ""),
        ("note", "of a call that we did not see", ""),
    ]
    assert len({one.id for one in found}) == 4


def test_what_makes_no_sense_breaks_nothing() -> None:
    rows: list[dict[str, Any]] = [
        {},
        {"role": 5, "content": 7},
        {"role": "user", "content": {"text": "x"}},
        {"role": "toolResult", "toolCallId": ["1"], "content": "x"},
        said("user", [None, 5, {"type": "text"}, {"type": "text", "text": 5}]),
        said("assistant", [{"type": "toolCall", "id": 5, "name": None}]),
        said("assistant", [{"type": "toolCall", "id": "x", "name": "n", "arguments": [1]}]),
        {"role": "user", "content": "a", "timestamp": "soon", "__openclaw": 5},
        {"role": "user", "content": "a", "timestamp": 10**30},
        {"role": "user", "content": "a", "timestamp": True, "__openclaw": {"seq": "1"}},
    ]
    found = sayings(rows)
    assert [one.text for one in found if one.by == "user"] == ["a", "a", "a"]
    assert all(one.at is None for one in found[-3:])


def test_what_is_very_long_is_cut_and_says_so() -> None:
    [one] = sayings([said("user", "x" * 30_000)])
    assert len(one.text) < 20_100
    assert one.text.endswith("and 10,000 characters more")
