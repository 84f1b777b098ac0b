"""Web push to one browser: VAPID (RFC 8292) and encrypted messages (RFC 8291).

The key of this installation is derived from its SECRET_KEY. The library encrypts messages; it sends
nothing, so requests go through the client for addresses of users. See
docs/decisions/notification-channels.md.
"""

import base64
import hashlib
import time
from dataclasses import replace
from email.utils import parseaddr
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jwt
from joserfc.jwk import ECKey
from webpush import VAPID, WebPush, WebPushSubscription

from core.config.settings import Settings
from core.http.outbound import OutboundClient, OutboundRequest
from core.security.encryption import SecretCipher
from core.text import to_lines, to_one_line
from services.channels.http_delivery import send_request
from services.channels.messages import (
    MAX_REQUEST_LENGTH,
    ChannelMessage,
    failed,
    gone,
    shorten,
)
from services.notifications import SendReason, SendResult

KEY_PURPOSE = b"mission-control: web push"
TOKEN_LIFETIME = 12 * 3_600  # seconds; 24 hours are the maximum
MESSAGE_LIFETIME = 24 * 3_600  # seconds for which the push service keeps a message
UNKNOWN_CONTACT = "mailto:mission-control@localhost.invalid"


class VapidSigner(VAPID):
    """Signs requests to push services; unlike the library's, it keeps the port of the service."""

    def __init__(self, key: ECKey, public_key: str, contact: str) -> None:
        self._key = key
        self._public_key = public_key
        self._contact = contact

    def get_authorization_header(self, endpoint: Any, subscriber: str, expiration: int) -> str:
        """Return the header that identifies this installation to a push service."""
        parts = urlsplit(str(endpoint))
        claims = {
            "aud": f"{parts.scheme}://{parts.netloc}",
            "exp": int(time.time()) + expiration,
            "sub": self._contact,
        }
        token = jwt.encode({"typ": "JWT", "alg": "ES256"}, claims, self._key)
        return f"vapid t={token}, k={self._public_key}"


class PushSender:
    """Sends messages to browsers that have subscribed with the key of this installation."""

    def __init__(self, settings: Settings, cipher: SecretCipher, client: OutboundClient) -> None:
        self._settings = settings
        self._cipher = cipher
        self._client = client

    @property
    def public_key(self) -> str:
        """The key with which browsers subscribe: an uncompressed point in base64url."""
        return self._keys[1]

    async def send(
        self, config: dict[str, str], message: ChannelMessage, *, allows_private: bool
    ) -> SendResult:
        """Send a message to a browser; encryption takes less than a millisecond."""
        payload = build_payload(message)
        try:
            request = self._encrypt(config, message, payload)
        except (ValueError, UnsupportedAlgorithm):  # not a point on the curve, or not base64
            return failed(SendReason.ADDRESS_INVALID)
        result, answer = await send_request(
            self._client, request, config, allows_private=allows_private
        )
        if answer.status in (404, 410):
            result = replace(gone(SendReason.SUBSCRIPTION_ENDED), response=result.response)
        host = urlsplit(config["endpoint"]).netloc
        logged = shorten(f"POST {host}/…\n\n{payload.decode()}", MAX_REQUEST_LENGTH)
        return replace(result, request=logged)

    def _encrypt(
        self, config: dict[str, str], message: ChannelMessage, payload: bytes
    ) -> OutboundRequest:
        encrypted = self._web_push.get(
            payload,
            WebPushSubscription.model_validate({"endpoint": config["endpoint"], "keys": config}),
        )
        headers = {
            "TTL": encrypted.headers["ttl"],
            "Content-Encoding": encrypted.headers["content-encoding"],
            "Content-Type": "application/octet-stream",
            "Authorization": encrypted.headers["authorization"],
            "Urgency": "high" if message.is_urgent else "normal",
        }
        if message.tag:  # of several that wait for a browser, the last one is kept
            topic = hashlib.sha256(message.tag.encode()).digest()[:24]
            headers["Topic"] = encode_base64url(topic)
        return OutboundRequest(config["endpoint"], encrypted.encrypted, headers)

    @cached_property
    def _web_push(self) -> WebPush:
        private, public, key = self._keys[2], self._keys[3], self._keys[0]
        web_push = WebPush(
            private, public, self._contact, ttl=MESSAGE_LIFETIME, expiration=TOKEN_LIFETIME
        )
        web_push.vapid = VapidSigner(key, self.public_key, self._contact)
        return web_push

    @cached_property
    def _keys(self) -> tuple[ECKey, str, bytes, bytes]:
        """The key, its public part for browsers, and both parts in PEM."""
        private = self._cipher.derive_signing_key(KEY_PURPOSE)
        public = private.public_key()
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public_pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return ECKey.import_key(pem), encode_base64url(point), pem, public_pem

    @property
    def _contact(self) -> str:
        """Whom a push service may contact: the sender of e-mails, or this address."""
        if self._settings.smtp_from:
            return f"mailto:{parseaddr(self._settings.smtp_from)[1]}"
        address = self._settings.base_url
        return address if address.startswith("https://") else UNKNOWN_CONTACT


def build_payload(message: ChannelMessage) -> bytes:
    """Return what the service worker shows (static/service_worker.js).

    Texts are cut, because an encrypted message has at most 4096 bytes.
    """
    return orjson.dumps(
        {
            "title": shorten(to_one_line(message.title), 150),
            "body": shorten(to_lines(message.body), 500),
            "url": message.url,
            "tag": message.tag or message.id,
            "language": message.language,
            "is_urgent": message.is_urgent,
        }
    )


def encode_base64url(raw: bytes) -> str:
    """Encode bytes in base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
