"""Build the requests of chat services: Slack, Discord, Microsoft Teams, ntfy and Telegram.

Titles and bodies contain texts of agents and other people, so each format either takes them as
plain text or escapes them: nobody can mention a channel, disguise a link, or break the message.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from core.http.outbound import OutboundRequest
from core.text import to_lines, to_one_line
from services.channels.messages import ChannelMessage, shorten

TELEGRAM_ADDRESS = "https://api.telegram.org"

DISCORD_SIGNS = re.compile(r"([\\*_~`|>#\[\]()<@:-])")


def build_slack_request(config: dict[str, str], message: ChannelMessage) -> OutboundRequest:
    """Build the request of a Slack incoming webhook."""
    title = escape_slack(clean_title(message))
    address = escape_slack(message.url.replace("|", "%7C"))
    link = f"<{address}|{escape_slack(message.action)}>"
    # A section has 3,000 characters after escaping; 4 are asterisks and line feeds.
    room = 3_000 - len(title) - len(link) - 4
    body = shorten_escaped(to_lines(message.body), room, escape_slack)
    text = "\n".join(part for part in (f"*{title}*", body, link) if part)
    section = {"type": "mrkdwn", "text": text, "verbatim": True}
    return post_json(
        config["url"],
        {
            "text": title,
            "blocks": [{"type": "section", "text": section}],
            "unfurl_links": False,
            "unfurl_media": False,
        },
    )


def build_discord_request(config: dict[str, str], message: ChannelMessage) -> OutboundRequest:
    """Build the request of a Discord webhook. Mentions have no effect."""
    embed = {  # the lengths count after escaping
        "title": shorten_escaped(clean_title(message), 256, escape_discord),
        "description": shorten_escaped(to_lines(message.body), 4_096, escape_discord),
        "url": message.url,
    }
    content = {"embeds": [embed], "allowed_mentions": {"parse": []}}
    separator = "&" if urlsplit(config["url"]).query else "?"
    return post_json(f"{config['url']}{separator}wait=true", content)


def build_teams_request(config: dict[str, str], message: ChannelMessage) -> OutboundRequest:
    """Build the request of a Teams workflow "When a Teams webhook request is received".

    Texts are in RichTextBlocks, because a TextBlock interprets Markdown.
    """
    title = {"type": "TextRun", "text": clean_title(message), "weight": "Bolder", "size": "Medium"}
    paragraphs: list[dict[str, Any]] = [{"type": "RichTextBlock", "inlines": [title]}]
    paragraphs += [
        {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": line}]}
        for line in shorten(to_lines(message.body), 5_000).split("\n")  # of 28 KB
        if line.strip()
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": paragraphs,
        "actions": [{"type": "Action.OpenUrl", "title": message.action, "url": message.url}],
    }
    type = "application/vnd.microsoft.card.adaptive"
    attachment = {"contentType": type, "contentUrl": None, "content": card}
    return post_json(config["url"], {"type": "message", "attachments": [attachment]})


def build_ntfy_request(config: dict[str, str], message: ChannelMessage) -> OutboundRequest:
    """Build the request that publishes on a topic of ntfy, as JSON.

    JSON is sent to the root of the server. Its values need no encoding, as headers would.
    """
    server, _, topic = config["url"].rstrip("/").rpartition("/")
    content = {
        "topic": topic,
        "title": clean_title(message),
        # Longer messages become attachments.
        "message": shorten_bytes(to_lines(message.body) or clean_title(message), 4_096),
        "click": message.url,
        "priority": 4 if message.is_urgent else 3,
    }
    token = config.get("token")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return post_json(f"{server}/", content, headers)


def build_telegram_request(
    config: dict[str, str], message: ChannelMessage, *, address: str = TELEGRAM_ADDRESS
) -> OutboundRequest:
    """Build the request with which a Telegram bot sends a message.

    The text is plain, and the bold part is named by its length, so nothing has to be escaped.
    """
    title, end = clean_title(message), f"\n\n{message.url}"
    room = 4_096 - count_utf16(title) - count_utf16(end) - 1  # UTF-16 units
    body = to_lines(message.body)
    while count_utf16(body) > room:
        body = shorten(body, len(body) - max(1, (count_utf16(body) - room) // 2))
    text = f"{title}\n{body}{end}" if body else f"{title}{end}"
    content = {
        "chat_id": config["chat_id"],
        "text": text,
        "entities": [{"type": "bold", "offset": 0, "length": count_utf16(title)}],
        "link_preview_options": {"is_disabled": True},
    }
    return post_json(f"{address}/bot{quote(config['token'], safe=':')}/sendMessage", content)


def post_json(url: str, content: Any, headers: dict[str, str] | None = None) -> OutboundRequest:
    """Build a request with a JSON body."""
    body = orjson.dumps(content)
    return OutboundRequest(url, body, {"Content-Type": "application/json", **(headers or {})})


def clean_title(message: ChannelMessage) -> str:
    """Return the title as one line of limited length."""
    return shorten(to_one_line(message.title), 200)


def escape_slack(text: str) -> str:
    """Escape the three characters that Slack interprets in every text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_discord(text: str) -> str:
    """Escape the characters that Discord interprets as Markdown, links and mentions."""
    return DISCORD_SIGNS.sub(r"\\\1", text)


def shorten_escaped(text: str, max_length: int, escape: Callable[[str], str]) -> str:
    """Escape a text, and shorten it so that the result has at most so many characters."""
    text = shorten(text, max_length)
    while len(escape(text)) > max_length:
        excess = len(escape(text)) - max_length
        text = shorten(text, max(1, len(text) - max(1, excess // 6)))
    return escape(text)


def shorten_bytes(text: str, max_bytes: int) -> str:
    """Shorten a text so that it has at most so many bytes in UTF-8."""
    raw = text.encode()
    if len(raw) <= max_bytes:
        return text
    return raw[: max_bytes - len("…".encode())].decode(errors="ignore").rstrip() + "…"


def count_utf16(text: str) -> int:
    """Return the length of a text in UTF-16 units, as Telegram counts."""
    return len(text.encode("utf-16-le")) // 2
