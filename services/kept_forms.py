"""Forms that were submitted without a valid session, kept until their user has signed in.

They are encrypted, belong to one user, and are deleted after an hour.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.db.transactions import delete_unlocked
from core.security.encryption import DecryptionError, SecretCipher
from models import KeptForm, User, build_encryption_context, new_id

LIFETIME = timedelta(hours=1)
MAX_FORMS = 3  # of a user; older ones are deleted

_FORM: Query[KeptForm] = Query(
    select(KeptForm).where(
        KeptForm.id == bindparam("id"),
        KeptForm.user_id == bindparam("user_id"),
        KeptForm.created_at > bindparam("since"),
    ),
    lambda row: row[0],
)


@dataclass(frozen=True)
class FormContent:
    """Where a form was submitted, its fields in order, and what was left out.

    Secrets are left out, and what cannot be read.
    """

    path: str
    fields: Sequence[tuple[str, str]]
    had_secrets: bool = False
    is_complete: bool = True


async def keep_form(
    session: AsyncSession, user_id: UUID, content: FormContent, cipher: SecretCipher
) -> UUID | None:
    """Keep a form of a user, and return its id; None if the user does not exist any more."""
    locked = select(User.id).where(User.id == user_id).with_for_update(key_share=True)
    if await session.scalar(locked) is None:
        return None
    id = new_id()
    encrypted = cipher.encrypt(json.dumps(asdict(content)), _encryption_context(id))
    session.add(KeptForm(id=id, user_id=user_id, encrypted_content=encrypted, created_at=now()))
    await session.flush()
    latest = select(KeptForm.id).where(KeptForm.user_id == user_id)
    latest = latest.order_by(KeptForm.created_at.desc(), KeptForm.id.desc()).limit(MAX_FORMS)
    is_old = (KeptForm.user_id == user_id) & KeptForm.id.not_in(latest)
    await session.execute(delete(KeptForm).where(is_old))
    return id


async def find_kept_form(
    source: Source, user: User, id: UUID, cipher: SecretCipher
) -> FormContent | None:
    """Return a form of the user that is kept, or None."""
    kept = await _FORM.first(source, id=id, user_id=user.id, since=now() - LIFETIME)
    if kept is None:
        return None
    try:
        content = json.loads(cipher.decrypt(kept.encrypted_content, _encryption_context(id)))
    except DecryptionError:  # SECRET_KEY has changed
        return None
    fields = [(name, value) for name, value in content["fields"]]
    is_complete = content.get("is_complete", True)  # not in forms of the previous version
    return FormContent(content["path"], fields, content["had_secrets"], is_complete)


async def delete_expired_forms(session: AsyncSession) -> int:
    """Delete a batch of the forms that are older than LIFETIME."""
    return await delete_unlocked(session, KeptForm, KeptForm.created_at <= now() - LIFETIME)


def _encryption_context(id: UUID) -> str:
    return build_encryption_context(KeptForm.encrypted_content, id=id)
