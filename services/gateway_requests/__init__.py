"""Requests of gateways: what agents there ask people, and the answers that people give."""

from services.gateway_requests.answering import answer
from services.gateway_requests.details import RequestDetail, found
from services.gateway_requests.facts import EVENTS, said
from services.gateway_requests.keeping import expire
from services.gateway_requests.lists import (
    answered_since,
    listed,
    of_run,
    over,
    waiting,
    waiting_by_board,
)
from services.gateway_requests.rules import Wish
from services.gateway_requests.station import Station

__all__ = [
    "EVENTS",
    "RequestDetail",
    "Station",
    "Wish",
    "answer",
    "answered_since",
    "expire",
    "found",
    "listed",
    "of_run",
    "over",
    "said",
    "waiting",
    "waiting_by_board",
]
