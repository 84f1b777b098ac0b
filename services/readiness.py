"""Check whether this installation can work: the database, its rights, the key, clock and disk.

`/readyz` and `./run doctor` report the same checks.
"""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.paths import COMMAND
from core.config.settings import Settings
from core.db.engine import (
    READ_ONLY,
    TransactionFactory,
    find_sqlstate,
    is_temporary_error,
)
from core.db.listen import PostgresListener
from core.errors import Unavailable
from core.security.encryption import SecretCipher
from models import Base, WriteCheck, new_id
from services import secret_keys

CHECK_TIMEOUT = 2.0  # seconds for all checks
RESULT_LIFETIME = 5.0  # seconds for which results are returned again
MAX_CLOCK_DIFFERENCE = 5.0  # seconds between the clocks of this machine and of the database
MIN_FREE_BYTES = 1_000_000_000  # on the disk of the data folder
PAGE_CONTENT = "x" * 7_000  # fits into a page of the database (8 kB) once
CHECK_ID = UUID(int=0)  # of the row that is committed

_MISSING_RIGHTS = text("""
    select relname from pg_class where relnamespace = current_schema::regnamespace
    and relkind in ('r', 'p') and relname = any(:tables) and not (
        has_table_privilege(oid, 'select') and (
            relname = 'audit_anchors' or has_table_privilege(oid, 'insert')
        ) and (
            relname in ('audit_records', 'audit_anchors')
            or has_table_privilege(oid, 'update') and has_table_privilege(oid, 'delete')
        )
    ) order by relname
""").bindparams(tables=[*Base.metadata.tables])
"""Of the tables of this release. A migration of a newer one can have added others."""

_EVENT_RECORDING = text("""
    select current_user as role, has_function_privilege(
        to_regprocedure('record_at_commit(jsonb)'), 'execute'
    ) as may_call, (
        select tgenabled in ('O', 'A') from pg_trigger
        where tgrelid = to_regclass('event_commits') and tgname = 'record_events'
    ) as is_enabled
""")
"""What inserts events at the commit; null if it is missing."""

_FUNCTION_RIGHTS = text("""
    select proname as name, has_function_privilege(oid, 'execute') as may_call, exists (
        select from aclexplode(coalesce(proacl, acldefault('f', proowner)))
        where grantee = 0 and privilege_type = 'EXECUTE'
    ) as is_public, current_user as role
    from pg_proc where oid in (
        to_regprocedure('delete_audit_chain(uuid, integer)'),
        to_regprocedure('drop_audit_records(uuid, bigint, varchar)')
    )
""")
DISK_FULL = "53100"  # SQLSTATE
REASONS = {
    DISK_FULL: "its disk is full",
    READ_ONLY: "it is read-only, as a standby server is",
    "42501": "its role lacks the right",
}
"""Why the database refuses a statement, by SQLSTATE."""


class CheckName(StrEnum):
    """What is checked. The values are part of the API."""

    DATABASE = "database"
    RIGHTS = "rights"
    KEY = "key"
    WRITE = "write"
    FUNCTIONS = "functions"
    CLOCK = "clock"
    SPACE = "space"


WARNINGS = frozenset({CheckName.FUNCTIONS, CheckName.CLOCK, CheckName.SPACE})
"""Problems with which requests can be served."""


@dataclass(frozen=True)
class CheckResult:
    """The result of a check; the problem is a sentence for the operator, empty if there is none."""

    name: CheckName
    problem: str = ""

    @property
    def is_warning(self) -> bool:
        """Whether requests can be served in spite of the problem."""
        return self.name in WARNINGS


class ReadinessChecker:
    """Runs the checks at most once in five seconds; concurrent callers share one run.

    A lost connection for notifications ends that time, so that an outage is noticed at once.
    """

    def __init__(
        self,
        transaction: TransactionFactory,
        listener: PostgresListener,
        settings: Settings,
        cipher: SecretCipher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener = listener
        self._interruptions = 0  # of the listener, at the last run
        self._transaction = transaction
        self._settings = settings
        self._cipher = cipher
        self._clock = clock
        self._expires_at = 0.0
        self._run: asyncio.Task[Sequence[CheckResult]] | None = None

    async def get_results(self) -> Sequence[CheckResult]:
        """Return the results of all checks, or only that the database does not answer."""
        is_old = self._clock() >= self._expires_at
        is_old = is_old or self._interruptions != self._listener.interruptions
        if self._run is None or (self._run.done() and is_old):
            self._interruptions = self._listener.interruptions
            self._run = asyncio.create_task(self._run_checks())
        return await asyncio.shield(self._run)

    async def _run_checks(self) -> Sequence[CheckResult]:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                results = await run_checks(self._transaction, self._settings, self._cipher)
            if self._listener.problem:
                results = [CheckResult(CheckName.DATABASE, self._listener.problem), *results[1:]]
            return results
        except TimeoutError:
            return [CheckResult(CheckName.DATABASE, "The database does not answer in time.")]
        finally:
            self._expires_at = self._clock() + RESULT_LIFETIME


async def run_checks(
    transaction: TransactionFactory,
    settings: Settings,
    cipher: SecretCipher,
    clock: Callable[[], datetime] = now,
) -> Sequence[CheckResult]:
    """Run all checks; without a database only that is reported."""
    checks: dict[CheckName, Callable[[AsyncSession], Awaitable[str]]] = {
        CheckName.RIGHTS: _check_rights,
        CheckName.KEY: lambda session: _check_key(session, cipher),
        CheckName.WRITE: _check_write,
        CheckName.FUNCTIONS: _check_functions,
        CheckName.CLOCK: lambda session: _check_clock(session, clock),
    }
    results = [CheckResult(CheckName.DATABASE)]
    for name, check in checks.items():
        try:
            async with transaction() as session:
                problem = await check(session)
        except Exception as error:
            code = find_sqlstate(error)
            if not code and not is_temporary_error(error):
                raise
            reason = REASONS.get(code, f"error {code}" if code else type(error).__name__)
            if is_temporary_error(error) and code not in (DISK_FULL, READ_ONLY):
                return [CheckResult(CheckName.DATABASE, f"The database cannot be used: {reason}.")]
            failed = "accepts no writes" if name is CheckName.WRITE else f"fails the check {name}"
            problem = f"The database {failed}: {reason}."
        results.append(CheckResult(name, problem))
    space = await asyncio.to_thread(check_space, settings.data_dir)
    return [*results, CheckResult(CheckName.SPACE, space)]


async def _check_rights(session: AsyncSession) -> str:
    tables = list(await session.scalars(_MISSING_RIGHTS))
    if not tables:
        return await _check_event_recording(session)
    named = ", ".join(tables[:3]) + (" and others" if len(tables) > 3 else "")
    return (
        f"The role of the database lacks rights on the tables {named}: grant them as the owner, as"
        " docs/audit.md says."
    )


async def _check_event_recording(session: AsyncSession) -> str:
    found = (await session.execute(_EVENT_RECORDING)).one()
    lost = "so that changes are stored without their events and audit records"
    if found.is_enabled is None:
        return (
            f"The trigger record_events of the table event_commits is missing, {lost}: as the"
            " owner, run create constraint trigger record_events after insert on event_commits"
            " deferrable initially deferred for each row execute function record_events(). If that"
            " function is missing too, restore a backup."
        )
    if not found.is_enabled:
        return (
            f"The trigger record_events of the table event_commits is disabled, {lost}: as the"
            " owner, run alter table event_commits enable trigger record_events."
        )
    if found.may_call is None:
        return "The function record_at_commit of the database is missing: restore a backup."
    if not found.may_call:
        return (
            f"The role {found.role} may not call the function record_at_commit, so that no change"
            " can be stored: as the owner, run grant execute on function record_at_commit(jsonb)"
            f' to "{found.role}".'
        )
    return ""


async def _check_key(session: AsyncSession, cipher: SecretCipher) -> str:
    try:
        await secret_keys.check_key(session, cipher)
    except secret_keys.WrongKey as error:
        return str(error)
    except Unavailable as error:
        return error.message
    return ""


async def _check_write(session: AsyncSession) -> str:
    """Write a page that is rolled back, and commit a small row.

    The page needs space on the disk of the table, as no free one is known, and the commit waits for
    the disk of the log.
    """
    async with session.begin_nested() as page:
        content = {"id": new_id(), "content": PAGE_CONTENT, "checked_at": now()}
        await session.execute(insert(WriteCheck).values(content))
        await page.rollback()
    row = insert(WriteCheck).values(id=CHECK_ID, content="", checked_at=now())
    checked_at = row.excluded.checked_at
    await session.execute(
        row.on_conflict_do_update(index_elements=["id"], set_={"checked_at": checked_at})
    )
    return ""


async def _check_functions(session: AsyncSession) -> str:
    found = {row.name: row for row in await session.execute(_FUNCTION_RIGHTS)}
    for name in ("delete_audit_chain", "drop_audit_records"):
        if name not in found:
            return f"The function {name} of the database is missing: restore a backup."
        if found[name].is_public:
            return (
                f"Every role may call the function {name}, as after pg_restore: run"
                f" {COMMAND} migrate as the owner of the database, which corrects that."
            )
    rights = found["delete_audit_chain"]
    if not rights.may_call:
        return (
            f"The role {rights.role} may not call the function delete_audit_chain, so that audits"
            " of deleted organizations are kept forever: as the owner, run grant execute on"
            f' function delete_audit_chain(uuid, integer) to "{rights.role}".'
        )
    return ""


async def _check_clock(session: AsyncSession, clock: Callable[[], datetime]) -> str:
    before = clock()
    in_database = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    after = clock()
    difference = max(before - in_database, in_database - after).total_seconds()
    if difference <= MAX_CLOCK_DIFFERENCE:
        return ""
    return (
        f"The clocks of this machine and of the database differ by {difference:.0f} seconds:"
        " synchronize both with NTP."
    )


def check_space(data_dir: Path) -> str:
    """Return the problem if the disk of the data folder is almost full, else an empty text."""
    folder, free = find_free_bytes(data_dir)
    if free >= MIN_FREE_BYTES:
        return ""
    return f"Only {free // 1_000_000} MB are free for {folder}: make room there."


def find_free_bytes(data_dir: Path) -> tuple[Path, int]:
    """Return the data folder, or its nearest parent that exists, and the free bytes of its disk."""
    folder = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    return folder, shutil.disk_usage(folder).free
