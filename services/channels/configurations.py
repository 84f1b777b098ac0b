"""The fields of a new channel, their checks by kind, and the receiver without secrets."""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import Field, StringConstraints

from core.errors import Invalid
from core.fields import MAX_NAME_LENGTH, ONE_LINE, Fields, Patch, ShownName
from core.http.outbound import InvalidUrl, parse_url
from core.security.webhook_signatures import SECRET_PREFIX, generate_signing_secret
from core.text import N_, is_email
from models import ChannelKind

TELEGRAM_TOKEN = re.compile(r"\d{3,20}:[A-Za-z0-9_-]{20,100}")
TELEGRAM_CHAT = re.compile(r"-?\d{1,20}|@[A-Za-z0-9_]{3,64}")
NTFY_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")
NTFY_TOKEN = re.compile(r"tk_[A-Za-z0-9]{10,100}")

Given = Mapping[str, str]
Config = dict[str, str]
ConfigValue = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4_000)]


class ChannelCreate(Fields):
    """A new channel. Which fields are needed depends on the kind.

    A browser subscribes to push on the pages.
    """

    example = {"kind": "ntfy", "name": "Phone", "url": "https://ntfy.sh/a-topic-of-mine"}

    kind: Literal["email", "slack", "discord", "teams", "ntfy", "telegram", "webhook"]
    name: Annotated[
        Annotated[
            str, StringConstraints(strip_whitespace=True, max_length=MAX_NAME_LENGTH), ONE_LINE
        ]
        | None,
        Field(description="By default the kind."),
    ] = None
    address: Annotated[
        ConfigValue, Field(description="Of `email`. It gets a code to confirm it.")
    ] = ""
    url: Annotated[
        ConfigValue, Field(description="Of all kinds except `email` and `telegram`.")
    ] = ""
    token: Annotated[ConfigValue, Field(description="Of `telegram`, and optionally of `ntfy`.")] = (
        ""
    )
    chat_id: ConfigValue = Field(default="", description="Of `telegram`.")
    secret: ConfigValue = Field(
        default="",
        description="Of `webhook`: `whsec_` and 24 to 64 bytes in base64. It signs the requests.",
    )


class ChannelForm(ChannelCreate):
    """A new channel of any kind: the subscription of a browser to push has fields of its own."""

    kind: ChannelKind  # ty: ignore[incompatible-attribute-override]
    endpoint: ConfigValue = ""
    p256dh: ConfigValue = ""
    auth: ConfigValue = ""


class ChannelUpdate(Patch):
    """Changes of a channel: at least one field."""

    example = {"is_paused": True}

    name: ShownName
    is_paused: Annotated[bool, Field(description="Nothing is sent while it is paused.")]


def check_config(kind: ChannelKind, given: Given) -> Config:
    """Return the configuration to store. Raises Invalid with the field."""
    return CHECKS[kind]({name: value.strip() for name, value in given.items()})


def describe_receiver(kind: ChannelKind, config: Config) -> str:
    """Name where messages go: an e-mail address, a chat, or a host."""
    if kind is ChannelKind.EMAIL:
        return config["address"]
    if kind is ChannelKind.TELEGRAM:
        return config["chat_id"]
    return urlsplit(config.get("url") or config["endpoint"]).netloc


def _check_email(given: Given) -> Config:
    address = given.get("address", "").lower()
    if not is_email(address):
        raise Invalid("email_invalid", N_("This is not an e-mail address."), field="address")
    return {"address": address}


def _check_push(given: Given) -> Config:
    config = {name: given.get(name, "") for name in ("endpoint", "p256dh", "auth")}
    _check_url(config["endpoint"], "endpoint")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _decode(config["p256dh"]))
        is_valid = len(_decode(config["auth"])) == 16
    except ValueError:
        is_valid = False
    if not is_valid:
        reason = N_("The browser has sent no valid subscription. Try again.")
        raise Invalid("push_subscription_invalid", reason, field="endpoint")
    return config


def _check_address_only(given: Given) -> Config:
    return {"url": _check_url(given.get("url", ""), "url")}


def _check_ntfy(given: Given) -> Config:
    config = _check_address_only(given)
    path = urlsplit(config["url"]).path.rstrip("/")
    if not NTFY_TOPIC.fullmatch(path.rpartition("/")[2]) or urlsplit(config["url"]).query:
        reason = N_("The address must end with the topic, as in https://ntfy.sh/my-topic.")
        raise Invalid("ntfy_topic_required", reason, field="url")
    token = given.get("token", "")
    if token and not NTFY_TOKEN.fullmatch(token):
        raise Invalid(
            "ntfy_token_invalid", N_("An access token of ntfy begins with tk_."), field="token"
        )
    return config | ({"token": token} if token else {})


def _check_telegram(given: Given) -> Config:
    token, chat_id = given.get("token", ""), given.get("chat_id", "")
    if not TELEGRAM_TOKEN.fullmatch(token):
        reason = N_("The token of a bot is a number, a colon and letters. Copy it from @BotFather.")
        raise Invalid("telegram_token_invalid", reason, field="token")
    if not TELEGRAM_CHAT.fullmatch(chat_id):
        reason = N_("The id of a chat is a number, or @ and the name of a channel.")
        raise Invalid("telegram_chat_invalid", reason, field="chat_id")
    return {"token": token, "chat_id": chat_id}


def _check_webhook(given: Given) -> Config:
    config = _check_address_only(given)
    secret = given.get("secret", "") or generate_signing_secret()
    try:
        length = len(base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True))
    except ValueError:
        length = 0
    if not 24 <= length <= 64 or not secret.startswith(SECRET_PREFIX):
        reason = N_(
            "A secret is whsec_ and 24 to 64 bytes in base64. Leave the field empty to create one."
        )
        raise Invalid("webhook_secret_invalid", reason, field="secret")
    return config | {"secret": secret}


def _check_url(url: str, field: str) -> str:
    try:
        parse_url(url)
    except InvalidUrl as error:
        reason = N_("This is not an address that begins with http:// or https://.")
        if error.cause == "password":
            reason = N_("The address must not contain a name or a password.")
        raise Invalid("channel_url_invalid", reason, field=field) from None
    return url


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


CHECKS: Mapping[ChannelKind, Callable[[Given], Config]] = {
    ChannelKind.EMAIL: _check_email,
    ChannelKind.PUSH: _check_push,
    ChannelKind.SLACK: _check_address_only,
    ChannelKind.DISCORD: _check_address_only,
    ChannelKind.TEAMS: _check_address_only,
    ChannelKind.NTFY: _check_ntfy,
    ChannelKind.TELEGRAM: _check_telegram,
    ChannelKind.WEBHOOK: _check_webhook,
}
