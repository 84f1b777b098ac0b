"""Typed calls about requests of agents: what waits for approval, and questions.

All calls raise GatewayError. Each is sent once, over the existing connection.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from openclaw.api import JsonObject, call_method, get_list, get_mapping, to_object, value_of_type
from openclaw.capabilities import Capability
from openclaw.client import GatewayClient
from openclaw.errors import GatewayError

MAX_GRANTS = 500  # in one answer; the gateway accepts no higher limit


async def list_approvals(client: GatewayClient, kind: str) -> list[JsonObject]:
    """Return what waits for approval: commands (`exec`) or actions of plugins (`plugin`)."""
    methods = {"exec": "exec.approval.list", "plugin": "plugin.approval.list"}
    return get_list(await call_method(client, methods[kind], {}))


async def list_grants(client: GatewayClient) -> list[JsonObject]:
    """Return the newest standing grants, also those that are over."""
    params = {"limit": MAX_GRANTS}
    return get_list(await call_method(client, "exec.approval.grants.list", params), "grants")


async def revoke_grant(client: GatewayClient, id: str) -> str | None:
    """Revoke a standing grant; return `revoked`, `already-revoked` or `not-found`."""
    answer = await call_method(client, "exec.approval.grants.revoke", {"grantId": id})
    return value_of_type(to_object(answer).get("outcome"), str)


async def list_questions(client: GatewayClient) -> list[JsonObject]:
    """Return the questions that wait for an answer. Older gateways have none."""
    if not client.capabilities.supports(Capability.QUESTIONS):
        return []
    return get_list(await call_method(client, "question.list", {}), "questions")


async def get_approval(client: GatewayClient, id: str) -> JsonObject:
    """Return an approval with its state."""
    return get_mapping(await call_method(client, "approval.get", {"id": id}), "approval")


async def get_question(client: GatewayClient, id: str) -> JsonObject:
    """Return a question with its state."""
    return get_mapping(await call_method(client, "question.get", {"id": id}), "question")


async def resolve_approval(client: GatewayClient, kind: str, id: str, decision: JsonObject) -> None:
    """Allow or deny it. `decision` is of the form {"decision": "allow-once"}."""
    methods = {"exec": "exec.approval.resolve", "plugin": "plugin.approval.resolve"}
    await call_method(client, methods[kind], {"id": id, **decision})


async def resolve_question(
    client: GatewayClient,
    id: str,
    *,
    answers: Mapping[str, Sequence[str]] | None,
    resolved_by: str,
    resolution_id: str,
) -> None:
    """Answer a question, or cancel it if `answers` is None. Older gateways store no id."""
    params: dict[str, Any] = {"id": id, "resolvedBy": resolved_by}
    if answers is None:
        await call_method(client, "question.resolve", {**params, "cancel": True})
        return
    params["answers"] = {"answers": answers}
    if client.capabilities.supports(Capability.RESOLUTION_IDS):
        try:
            with_id = {**params, "resolutionId": resolution_id}
            await call_method(client, "question.resolve", with_id)
        except GatewayError as error:
            if not client.capabilities.learn_rejection(Capability.RESOLUTION_IDS, error):
                raise
        else:
            return
    await call_method(client, "question.resolve", params)


async def question_resolution_id(client: GatewayClient, id: str) -> str | None:
    """Return the id that a question was resolved with; None if the gateway does not have it."""
    needed = (Capability.QUESTIONS, Capability.RESOLUTION_IDS)
    if not all(map(client.capabilities.supports, needed)):
        return None
    params = {"id": id, "timeoutMs": 1, "includeResolutionId": True}
    try:
        answer = await call_method(client, "question.waitAnswer", params)
    except GatewayError as error:
        if not client.capabilities.learn_rejection(Capability.RESOLUTION_IDS, error):
            raise
        return None
    return to_object(answer).get("resolutionId")
