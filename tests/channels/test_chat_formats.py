"""The formats of chat services: recorded bodies, escaping and length limits."""

from dataclasses import replace

import pytest

from services.channels import ChannelMessage, ChannelSender
from services.channels import chat_formats as formats
from services.notifications import SendOutcome
from tests.support.http_receiver import HttpReceiver

TITLE = "Approval: <!channel> *Deploy* & [go](http://evil.example) now"


async def send(sender: ChannelSender, kind: str, config: dict, message: ChannelMessage) -> None:
    result = await sender.send(kind, config, message, allows_private=True)
    assert result.outcome is SendOutcome.DELIVERED, result


async def test_slack_shows_texts_of_others_literally(
    sender: ChannelSender, receiver: HttpReceiver, message: ChannelMessage
) -> None:
    await send(sender, "slack", {"url": f"{receiver.address}/services/T/B/secret"}, message)
    [request] = receiver.requests
    assert (request.method, request.path) == ("POST", "/services/T/B/secret")
    assert request.headers["content-type"] == "application/json"
    title = "Approval: &lt;!channel&gt; *Deploy* &amp; [go](http://evil.example) now"
    text = (
        f"*{title}*\n"
        "@everyone &lt;@123&gt; &lt;b&gt;bold&lt;/b&gt; &amp; `code`\n• 你好 😀\n"
        "<http://localhost:8000/approvals/1?a=1&amp;b=2|Open>"
    )
    assert request.json == {
        "text": title,
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}],
        "unfurl_links": False,
        "unfurl_media": False,
    }


async def test_discord_shows_texts_of_others_literally(
    sender: ChannelSender, receiver: HttpReceiver, message: ChannelMessage
) -> None:
    await send(sender, "discord", {"url": f"{receiver.address}/api/webhooks/1/secret"}, message)
    [request] = receiver.requests
    assert request.path == "/api/webhooks/1/secret?wait=true"
    assert request.json == {
        "embeds": [
            {
                "title": r"Approval\: \<!channel\> \*Deploy\* & "
                r"\[go\]\(http\://evil.example\) now",
                "description": r"\@everyone \<\@123\> \<b\>bold\</b\> & \`code\`"
                "\n• 你好 😀",
                "url": message.url,
            }
        ],
        "allowed_mentions": {"parse": []},
    }


async def test_teams_gets_an_adaptive_card_without_markdown(
    sender: ChannelSender, receiver: HttpReceiver, message: ChannelMessage
) -> None:
    receiver.answer(202)
    await send(sender, "teams", {"url": f"{receiver.address}/workflows/1?sig=secret"}, message)
    [attachment] = receiver.requests[0].json["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["content"]["body"] == [
        {
            "type": "RichTextBlock",
            "inlines": [{"type": "TextRun", "text": TITLE, "weight": "Bolder", "size": "Medium"}],
        },
        {
            "type": "RichTextBlock",
            "inlines": [{"type": "TextRun", "text": "@everyone <@123> <b>bold</b> & `code`"}],
        },
        {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": "• 你好 😀"}]},
    ]
    assert attachment["content"]["actions"] == [
        {"type": "Action.OpenUrl", "title": "Open", "url": message.url}
    ]


async def test_ntfy_is_published_as_json_with_a_token(
    sender: ChannelSender, receiver: HttpReceiver, message: ChannelMessage
) -> None:
    config = {"url": f"{receiver.address}/my-topic", "token": "tk_secret"}
    await send(sender, "ntfy", config, message)
    [request] = receiver.requests
    assert request.path == "/"
    assert request.headers["authorization"] == "Bearer tk_secret"
    assert request.json == {
        "topic": "my-topic",
        "title": TITLE,
        "message": message.body,
        "click": message.url,
        "priority": 4,
    }


async def test_telegram_gets_a_plain_text_with_a_bold_title(
    sender: ChannelSender, receiver: HttpReceiver, message: ChannelMessage
) -> None:
    receiver.answer(200, {"ok": True})
    config = {"token": "123:secret-token", "chat_id": "-100123"}
    await send(sender, "telegram", config, message)
    [request] = receiver.requests
    assert request.path == "/bot123:secret-token/sendMessage"
    assert request.json == {
        "chat_id": "-100123",
        "text": f"{TITLE}\n{message.body}\n\n{message.url}",
        "entities": [{"type": "bold", "offset": 0, "length": len(TITLE)}],
        "link_preview_options": {"is_disabled": True},
    }


@pytest.mark.parametrize("letter", ["x", "<", "&", "*", "é", "你", "😀", "\\"])
def test_long_texts_are_cut_to_the_limits_of_each_service(
    message: ChannelMessage, letter: str
) -> None:
    long = replace(message, title=letter * 1_000, body=letter * 30_000)
    config = {"url": "http://localhost/a/b", "token": "1:2", "chat_id": "3"}
    slack = read(formats.build_slack_request(config, long))
    assert len(slack["blocks"][0]["text"]["text"]) <= 3_000
    [embed] = read(formats.build_discord_request(config, long))["embeds"]
    assert len(embed["title"]) <= 256
    assert len(embed["description"]) <= 4_096
    assert len(formats.build_teams_request(config, long).body) < 28_000
    ntfy = read(formats.build_ntfy_request(config, long))
    assert len(ntfy["message"].encode()) <= 4_096
    telegram = read(formats.build_telegram_request(config, long))
    assert formats.count_utf16(telegram["text"]) <= 4_096
    assert telegram["text"].endswith(message.url)
    assert slack["blocks"][0]["text"]["text"].endswith("|Open>")


def test_an_entity_of_slack_is_never_cut(message: ChannelMessage) -> None:
    long = replace(message, body="&" * 5_000)
    text = read(formats.build_slack_request({"url": "http://localhost"}, long))
    lines = text["blocks"][0]["text"]["text"].split("\n")
    assert set(lines[1].removesuffix("…").split(";")) == {"&amp", ""}


def read(request) -> dict:
    from orjson import loads

    return loads(request.body)
