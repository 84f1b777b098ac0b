"""What an installation has once: its encryption keys, its address, and a check of writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from string import Formatter
from typing import Any

from sqlalchemy import CheckConstraint, Column, Table
from sqlalchemy.orm import InstrumentedAttribute, Mapped, MappedColumn, mapped_column

from models.base import Base

CONTEXT = "encryption_context"  # in the info of an encrypted column


class EncryptionKey(Base):
    """A key that every process must have, as a fingerprint from which it cannot be computed.

    There is one, and a second one while the secrets are encrypted with another key. docs/backup.md
    describes the key, and how it is replaced.
    """

    __tablename__ = "encryption_keys"

    fingerprint: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]


def encrypted_column(context: str) -> MappedColumn[Any]:
    """Declare a column with an encrypted secret.

    The context ties the secret to its row and column: it contains names of other columns in braces.
    """
    return mapped_column(info={CONTEXT: context})


def build_encryption_context(attribute: InstrumentedAttribute[Any], **values: object) -> str:
    """Return the context of a secret in an encrypted column, given the values that it contains."""
    context: str = attribute.property.columns[0].info[CONTEXT]
    return context.format(**values)


@dataclass(frozen=True)
class EncryptedColumn:
    """A column with encrypted secrets, as it is in the database."""

    table: Table
    column: Column[Any]

    @property
    def needed_columns(self) -> list[Column[Any]]:
        """The columns of a row from which the context is built."""
        context = self.column.info[CONTEXT]
        names = [name for _, name, _, _ in Formatter().parse(context) if name]
        return [self.table.c[name] for name in dict.fromkeys(["id", *names])]

    def build_context(self, row: Mapping[str, object]) -> str:
        """Return the context of the secret in a row, which has the needed columns."""
        context: str = self.column.info[CONTEXT]
        return context.format_map(row)


def list_encrypted_columns() -> list[EncryptedColumn]:
    """Return all columns with encrypted secrets."""
    return [
        EncryptedColumn(table, column)
        for table in Base.metadata.sorted_tables
        for column in table.c
        if CONTEXT in column.info
    ]


class PublicAddress(Base):
    """The address that people and agents of all organizations use: one row at most."""

    __tablename__ = "public_addresses"
    __table_args__ = (
        CheckConstraint("id = '00000000-0000-0000-0000-000000000000'", name="one_row"),
    )

    base_url: Mapped[str]
    updated_at: Mapped[datetime]


class WriteCheck(Base):
    """The last check. Rows with a long content are never committed: see services/readiness.py."""

    __tablename__ = "write_checks"

    content: Mapped[str] = mapped_column(default="")
    checked_at: Mapped[datetime]
