"""Gateways: where they are, whether they can be reached, and what is said over them."""

from services.gateways.carrier import IMPATIENT, Carrier, Station
from services.gateways.checking import Look, note, record
from services.gateways.edits import REACHED_BY, change, create, delete
from services.gateways.fields import GatewayDraft
from services.gateways.finding import for_board, get, hold, homes, listed, with_url
from services.gateways.holding import claim, let_go
from services.gateways.inspecting import History, Sessions, history, say, session_of, sessions
from services.gateways.leaving import take_leave
from services.gateways.linking import LinkDraft, Resident, check_board, link_agent, residents
from services.gateways.lists import GatewaySummary, counts, summaries, summary, token_set_at
from services.gateways.offers import EVENTS, METHODS, OFFERED_BY, PROTOCOL
from services.gateways.owners import Owner, Owners, agent_in, owner_of, owners, readable
from services.standing import (
    Standing,
    away_since,
    in_the_way,
    is_watched,
    standing,
    stands_so_since,
)

__all__ = [
    "EVENTS",
    "IMPATIENT",
    "METHODS",
    "OFFERED_BY",
    "PROTOCOL",
    "REACHED_BY",
    "Carrier",
    "GatewayDraft",
    "GatewaySummary",
    "History",
    "LinkDraft",
    "Look",
    "Owner",
    "Owners",
    "Resident",
    "Sessions",
    "Standing",
    "Station",
    "agent_in",
    "away_since",
    "change",
    "check_board",
    "claim",
    "counts",
    "create",
    "delete",
    "for_board",
    "get",
    "history",
    "hold",
    "homes",
    "in_the_way",
    "is_watched",
    "let_go",
    "link_agent",
    "listed",
    "note",
    "owner_of",
    "owners",
    "readable",
    "record",
    "residents",
    "say",
    "session_of",
    "sessions",
    "standing",
    "stands_so_since",
    "summaries",
    "summary",
    "take_leave",
    "token_set_at",
    "with_url",
]
