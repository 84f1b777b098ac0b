"""Requests of gateways: commands and questions that wait for users, and their answers."""

from services.gateways.requests.commands import (
    answer_request,
    expire_requests,
    is_expired_condition,
)
from services.gateways.requests.job import RequestSyncJob
from services.gateways.requests.parser import CONTEXT_KEYS, ORIGIN_KEYS, ROW_KEYS
from services.gateways.requests.queries import (
    MAX_COUNTED,
    RequestDetail,
    build_answered_query,
    build_listed_query,
    get_request,
    list_ended_requests,
    list_requests,
    load_requests_by_gateway_id,
    load_requests_of_runs,
    waiting_rows_query,
)
from services.gateways.requests.rules import GatewayAnswer
