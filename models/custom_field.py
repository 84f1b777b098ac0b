"""Custom fields: additional fields of tasks that an organization defines."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base
from models.board import Board
from models.task import Task


class FieldType(StrEnum):
    """What a value may be."""

    TEXT = "text"
    TEXT_LONG = "text_long"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    DATE_TIME = "date_time"
    URL = "url"
    JSON = "json"


class Visibility(StrEnum):
    """When pages show a field."""

    ALWAYS = "always"
    IF_SET = "if_set"
    HIDDEN = "hidden"


class CustomField(Base):
    """The definition of a custom field for the tasks of some boards."""

    __tablename__ = "task_custom_field_definitions"
    __table_args__ = (UniqueConstraint("organization_id", "field_key"),)

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    field_key: Mapped[str]
    label: Mapped[str]
    field_type: Mapped[FieldType] = mapped_column(default=FieldType.TEXT)
    ui_visibility: Mapped[Visibility] = mapped_column(default=Visibility.ALWAYS)
    validation_regex: Mapped[str | None]
    description: Mapped[str | None]
    required: Mapped[bool] = mapped_column(default=False)
    default_value: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class BoardCustomField(Base):
    """Binds a custom field to a board."""

    __tablename__ = "board_task_custom_fields"
    __table_args__ = (
        UniqueConstraint(
            "board_id", "task_custom_field_definition_id", name="uq_board_task_custom_fields_pair"
        ),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    board: Mapped[Board] = relationship(lazy="raise")
    task_custom_field_definition_id: Mapped[UUID] = mapped_column(
        ForeignKey(
            "task_custom_field_definitions.id",
            ondelete="CASCADE",
            name="fk_board_task_custom_fields_definition",
        ),
        index=True,
    )
    field: Mapped[CustomField] = relationship(lazy="raise")
    created_at: Mapped[datetime]


class CustomFieldValue(Base):
    """The value of a custom field for a task."""

    __tablename__ = "task_custom_field_values"
    __table_args__ = (
        UniqueConstraint(
            "task_id", "task_custom_field_definition_id", name="uq_task_custom_field_values_pair"
        ),
    )

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    task: Mapped[Task] = relationship(lazy="raise")
    task_custom_field_definition_id: Mapped[UUID] = mapped_column(
        ForeignKey(
            "task_custom_field_definitions.id",
            ondelete="CASCADE",
            name="fk_task_custom_field_values_definition",
        ),
        index=True,
    )
    field: Mapped[CustomField] = relationship(lazy="raise")
    value: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
