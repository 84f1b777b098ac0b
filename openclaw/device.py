"""Identify this installation to gateways with an Ed25519 key that never leaves the server."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class DeviceIdentity:
    """Hold a private key, its public key, and the derived id. The seed has 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        self.id = hashlib.sha256(public).hexdigest()
        self.public_key = _encode_unpadded(public)

    @classmethod
    def generate(cls) -> "DeviceIdentity":
        """Generate a new identity."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    def __repr__(self) -> str:
        """Return the beginning of the id, without the key."""
        return f"Device({self.id[:12]}…)"

    def sign_challenge(
        self,
        challenge: Mapping[str, Any],
        client: Mapping[str, str],
        role: str,
        scopes: Sequence[str],
        token: str,
    ) -> dict[str, Any]:
        """Sign the challenge of a gateway and our client data (payload version 3).

        `token` is the token sent in `auth`, or an empty string. The gateway stores the platform.
        """
        timestamp, nonce = challenge["ts"], challenge["nonce"]
        signed = "|".join(
            (
                "v3",
                self.id,
                client["id"],
                client["mode"],
                role,
                ",".join(scopes),
                str(timestamp),
                token,
                nonce,
                client.get("platform", "").strip().lower(),
                client.get("deviceFamily", "").strip().lower(),
            )
        )
        return {
            "id": self.id,
            "publicKey": self.public_key,
            "signature": _encode_unpadded(self._key.sign(signed.encode())),
            "signedAt": timestamp,
            "nonce": nonce,
        }


def _encode_unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
