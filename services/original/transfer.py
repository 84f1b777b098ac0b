"""Copy rows of the original, kind by kind, in the transaction of the import."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import Column, ColumnElement, Table, bindparam, text
from sqlalchemy import TypeDecorator as DecoratedType
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.compiled_statement import DIALECT
from core.db.reads import AnySelect
from core.db.transactions import Write
from models import Base
from services.original.report import ImportReport
from services.original.source import BATCH_SIZE, OriginalDatabase
from services.original.values import OriginalRow


class NewRow(NamedTuple):
    """A row to insert. Columns that are not named have their default."""

    model: type[Base]
    values: Mapping[str, Any]


Plan = Callable[[OriginalRow], Iterable[NewRow]]
"""Returns what becomes of a row of the original; nothing if it stays behind."""


class AgentPlace(NamedTuple):
    """Where an imported agent belongs."""

    organization_id: UUID
    board_id: UUID | None


@dataclass(frozen=True)
class DeviceKey:
    """The identity of the original at gateways: the seed of its key. It is shown nowhere."""

    seed: bytes = field(repr=False)

    @classmethod
    def find(cls, content: str) -> "DeviceKey | None":
        """Return the key in the content of the original's device.json, or None."""
        try:
            pem = json.loads(content)["privateKeyPem"]
            key = load_pem_private_key(pem.encode(), password=None)
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
            UnsupportedAlgorithm,
        ):
            return None
        return cls(key.private_bytes_raw()) if isinstance(key, Ed25519PrivateKey) else None


@dataclass(frozen=True)
class ImportOptions:
    """What the operator decides about an import."""

    organization: str | None = None  # the name or id of the only one that comes
    issuer: str | None = None  # of the ids that users have at Clerk
    keeps_users_without_issuer: bool = False
    matches_emails: bool = False  # accounts with the same address are the same person
    device_key: DeviceKey | None = None
    allows_private_gateways: bool = False


@dataclass
class Transfer:
    """An import in progress: where rows come from, where they go, and what is known of both."""

    source: OriginalDatabase
    session: AsyncSession
    options: ImportOptions
    report: ImportReport
    organization_ids: Sequence[UUID] = ()
    users: dict[UUID, UUID] = field(default_factory=dict)  # accounts here by ids of the original
    members: dict[UUID, UUID] = field(default_factory=dict)  # organizations by ids of members
    groups: dict[UUID, UUID] = field(default_factory=dict)  # organizations, as of the following
    gateways: dict[UUID, UUID] = field(default_factory=dict)
    boards: dict[UUID, UUID] = field(default_factory=dict)
    invites: dict[UUID, UUID] = field(default_factory=dict)
    skills: dict[UUID, str] = field(default_factory=dict)  # folders
    tags: dict[UUID, UUID] = field(default_factory=dict)
    fields: dict[UUID, Any] = field(default_factory=dict)  # definitions
    agents: dict[UUID, AgentPlace] = field(default_factory=dict)
    webhooks: set[UUID] = field(default_factory=set)

    async def copy(
        self, kind: str, query: AnySelect, plan: Plan, *, batch_size: int = BATCH_SIZE
    ) -> None:
        """Insert what a plan makes of the rows of a query, in batches."""
        self.report.read[kind] += 0
        async for batch in self.source.read(query, batch_size):
            self.report.read[kind] += len(batch)
            rows: defaultdict[type[Base], list[Mapping[str, Any]]] = defaultdict(list)
            for values in batch:
                planned = [*plan(OriginalRow(kind, values, self.report))]
                self.report.written[kind] += bool(planned)
                for model, new in planned:
                    rows[model].append(new)
            for model, inserted in rows.items():
                await insert_rows(self.session, model, inserted)

    async def leave(
        self, kind: str, table: Table, condition: ColumnElement[bool], reason: str
    ) -> None:
        """Count the rows that stay behind for a reason, without reading them."""
        count = await self.source.count(table, condition)
        if count:
            self.report.read[kind] += count
            self.report.left[kind, reason].add(None, count)


async def insert_rows(
    session: AsyncSession, model: type[Base], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows that name the same columns, in their order, with one statement.

    The triggers of counters run once for each statement.
    """
    table = model.__table__
    assert isinstance(table, Table)
    defaults = {
        column.name: column.default.arg
        for column in table.c
        if column.default is not None and column.default.is_scalar
    }
    complete = [{**defaults, **row} for row in rows]
    names = tuple(sorted(complete[0]))
    columns = [table.c[name] for name in names]
    values = [
        {column.name: _to_json(column, row[column.name]) for column in columns} for row in complete
    ]
    await _build_insert(table.name, names).execute(session, rows=values)


def _to_json(column: Column[Any], value: Any) -> Any:
    if isinstance(column.type, DecoratedType):
        return column.type.process_bind_param(value, DIALECT)
    return value


@cache
def _build_insert(table: str, names: Sequence[str]) -> Write:
    columns = ", ".join(names)
    statement = text(
        f"insert into {table} ({columns}) select {columns}"  # noqa: S608 - names of our schema
        f" from jsonb_populate_recordset(null::{table}, :rows) with ordinality order by ordinality"
    )
    return Write(statement.bindparams(bindparam("rows", type_=JSONB)))
