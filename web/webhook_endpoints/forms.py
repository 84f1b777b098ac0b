"""The forms of an outgoing webhook, and of the period that is sent again."""

from collections.abc import Collection, Set
from datetime import datetime, tzinfo
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel

from core.errors import Invalid
from models import WebhookEndpoint
from services.webhook_endpoints import EndpointDraft
from web.ui import time_format
from web.ui.edited_fields import EditedField, FieldKind, without
from web.ui.forms import BlankAsNone, Line
from web.ui.translation import N_


def list_edited_fields(
    endpoint: WebhookEndpoint, readable_board_ids: Collection[str]
) -> list[EditedField]:
    """Return the values of a webhook as its form shows them; of its boards the readable."""
    board_ids = [id for id in endpoint.board_ids if id in readable_board_ids]
    return [
        EditedField("url", N_("Address"), endpoint.url, FieldKind.LINE),
        EditedField("description", N_("Description"), endpoint.description, FieldKind.LINE),
        EditedField("event_types", N_("Events"), endpoint.event_types),
        EditedField("board_ids", N_("Boards"), board_ids),
    ]


class WebhookEndpointForm(BaseModel):
    """The properties of a webhook."""

    url: str = ""
    description: Annotated[Line | None, BlankAsNone] = None
    event_types: list[str] = []
    board_ids: list[UUID] = []

    def to_draft(self) -> EndpointDraft:
        """Return the webhook to create."""
        return EndpointDraft(**self._to_values())

    def to_changes(self, untouched: Set[str], hidden_board_ids: Collection[str]) -> dict[str, Any]:
        """Return the changed properties; boards that the user cannot read stay."""
        values = self._to_values()
        hidden = map(UUID, hidden_board_ids)
        return without(values | {"board_ids": [*self.board_ids, *hidden]}, untouched)

    def _to_values(self) -> dict[str, Any]:
        return self.model_dump() | {"description": self.description or ""}


class ReplayForm(BaseModel):
    """The first and the last day of a period."""

    since: str = ""
    until: str = ""

    def to_period(self, zone: tzinfo) -> tuple[datetime, datetime]:
        """Return the start and the end, with days of the reader. Raises Invalid."""
        since = time_format.start_of_day(time_format.parse_day(self.since), zone)
        until = time_format.start_of_day(time_format.parse_day(self.until), zone, days_later=1)
        for field, moment in (("since", since), ("until", until)):
            if moment is None:
                raise Invalid("date_invalid", N_("Write a date like 2026-12-24."), field=field)
        assert since is not None
        assert until is not None
        return since, until
