"""Sign requests to webhooks as Standard Webhooks describes (https://www.standardwebhooks.com)."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook

SECRET_PREFIX = "whsec_"  # noqa: S105
SECRET_LENGTH = 32  # bytes


def generate_signing_secret() -> str:
    """Generate a secret as the specification writes it: `whsec_` and base64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_LENGTH)).decode()


def build_signed_headers(
    id: str, at: datetime, body: str, signing: Sequence[str]
) -> dict[str, str]:
    """Return the headers of a JSON request, signed with each of the secrets.

    Repeated requests have the same `id`.
    """
    return {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(one).sign(id, at, body) for one in signing),
    }
