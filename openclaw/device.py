"""The identity by which a gateway knows us again: an Ed25519 key that never leaves the server."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Device:
    """A key, its public half and the id that follows from it. The seed is 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        self.id = hashlib.sha256(public).hexdigest()
        self.public_key = _unpadded(public)

    @classmethod
    def new(cls) -> "Device":
        """Make an identity that nobody has seen."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    def __repr__(self) -> str:
        """Name it without telling the key."""
        return f"Device({self.id[:12]}…)"

    def proof(
        self,
        challenge: Mapping[str, Any],
        client: Mapping[str, str],
        role: str,
        scopes: Sequence[str],
        token: str,
    ) -> dict[str, Any]:
        """Sign a gateway's challenge (payload version 3), together with what we say of ourselves.

        `token` is what is sent in `auth`, or nothing. The gateway remembers the platform.
        """
        moment, nonce = challenge["ts"], challenge["nonce"]
        signed = "|".join(
            (
                "v3",
                self.id,
                client["id"],
                client["mode"],
                role,
                ",".join(scopes),
                str(moment),
                token,
                nonce,
                client.get("platform", "").strip().lower(),
                client.get("deviceFamily", "").strip().lower(),
            )
        )
        return {
            "id": self.id,
            "publicKey": self.public_key,
            "signature": _unpadded(self._key.sign(signed.encode())),
            "signedAt": moment,
            "nonce": nonce,
        }


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
