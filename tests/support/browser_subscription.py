"""The side of a browser in web push: its keys, the check of VAPID, the decryption (RFC 8291)."""

import base64
import struct
from dataclasses import dataclass, field
from secrets import token_bytes

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.support.http_receiver import ReceivedRequest


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _derive(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length=length, salt=salt, info=info).derive(secret)


@dataclass
class BrowserSubscription:
    """Keys that a browser has created when it subscribed."""

    endpoint: str
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    auth: bytes = field(default_factory=lambda: token_bytes(16))

    @property
    def point(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def config(self) -> dict[str, str]:
        return {
            "endpoint": self.endpoint,
            "p256dh": encode(self.point),
            "auth": encode(self.auth),
        }

    def decrypt(self, request: ReceivedRequest) -> dict:
        """Decrypt the body of a request, as a browser does."""
        assert request.headers["content-encoding"] == "aes128gcm"
        salt, (size, length) = request.body[:16], struct.unpack("!LB", request.body[16:21])
        assert len(request.body) <= size
        sender, text = request.body[21 : 21 + length], request.body[21 + length :]
        shared = self.key.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        )
        info = b"WebPush: info\0" + self.point + sender
        secret = _derive(self.auth, shared, info, 32)
        key = _derive(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _derive(salt, secret, b"Content-Encoding: nonce\0", 12)
        padded = AESGCM(key).decrypt(nonce, text, None)
        message, end, padding = padded.rpartition(b"\2")
        assert end
        assert not padding.strip(b"\0")
        return orjson.loads(message)


def read_vapid(request: ReceivedRequest) -> tuple[dict, str]:
    """Verify who has sent a request; return the claims, and the key in base64url."""
    scheme, _, rest = request.headers["authorization"].partition(" ")
    assert scheme == "vapid"
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    point = decode(parts["k"])
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = jwt.decode(parts["t"], ECKey.import_key(pem), algorithms=["ES256"])
    return token.claims, parts["k"]
