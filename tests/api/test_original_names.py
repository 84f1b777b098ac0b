# ruff: noqa: E501 - a line of the list is one operation
"""Clients that were generated from the original's document find its names (contract, 1.15)."""

import re

from api.app import OPERATIONS
from api.framework.original_names import MODEL_NAMES, OPERATION_NAMES
from tests.support.api_document import DOCUMENT

SCHEMAS = DOCUMENT["components"]["schemas"]

OPERATION_IDS = """
bootstrap_user POST /auth/bootstrap
get_me GET /users/me
update_me PATCH /users/me
delete_me DELETE /users/me
create_organization POST /organizations
list_my_organizations GET /organizations/me/list
set_active_org PATCH /organizations/me/active
get_my_org GET /organizations/me
delete_my_org DELETE /organizations/me
get_my_membership GET /organizations/me/member
list_org_members GET /organizations/me/members
list_org_invites GET /organizations/me/invites
create_org_invite POST /organizations/me/invites
accept_org_invite POST /organizations/invites/accept
list_boards GET /boards
create_board POST /boards
get_board GET /boards/{board_id}
update_board PATCH /boards/{board_id}
delete_board DELETE /boards/{board_id}
get_board_snapshot GET /boards/{board_id}/snapshot
get_board_group_snapshot GET /boards/{board_id}/group-snapshot
get_onboarding GET /boards/{board_id}/onboarding
start_onboarding POST /boards/{board_id}/onboarding/start
answer_onboarding POST /boards/{board_id}/onboarding/answer
agent_onboarding_update POST /boards/{board_id}/onboarding/agent
confirm_onboarding POST /boards/{board_id}/onboarding/confirm
list_tasks GET /boards/{board_id}/tasks
create_task POST /boards/{board_id}/tasks
stream_tasks GET /boards/{board_id}/tasks/stream
update_task PATCH /boards/{board_id}/tasks/{task_id}
delete_task DELETE /boards/{board_id}/tasks/{task_id}
list_task_comments GET /boards/{board_id}/tasks/{task_id}/comments
create_task_comment POST /boards/{board_id}/tasks/{task_id}/comments
list_approvals GET /boards/{board_id}/approvals
create_approval POST /boards/{board_id}/approvals
stream_approvals GET /boards/{board_id}/approvals/stream
update_approval PATCH /boards/{board_id}/approvals/{approval_id}
list_board_webhooks GET /boards/{board_id}/webhooks
create_board_webhook POST /boards/{board_id}/webhooks
get_board_webhook GET /boards/{board_id}/webhooks/{webhook_id}
update_board_webhook PATCH /boards/{board_id}/webhooks/{webhook_id}
delete_board_webhook DELETE /boards/{board_id}/webhooks/{webhook_id}
ingest_board_webhook POST /boards/{board_id}/webhooks/{webhook_id}
list_board_webhook_payloads GET /boards/{board_id}/webhooks/{webhook_id}/payloads
get_board_webhook_payload GET /boards/{board_id}/webhooks/{webhook_id}/payloads/{payload_id}
list_board_memory GET /boards/{board_id}/memory
create_board_memory POST /boards/{board_id}/memory
stream_board_memory GET /boards/{board_id}/memory/stream
list_board_group_memory_for_board GET /boards/{board_id}/group-memory
create_board_group_memory_for_board POST /boards/{board_id}/group-memory
stream_board_group_memory_for_board GET /boards/{board_id}/group-memory/stream
list_board_groups GET /board-groups
create_board_group POST /board-groups
get_board_group GET /board-groups/{group_id}
update_board_group PATCH /board-groups/{group_id}
delete_board_group DELETE /board-groups/{group_id}
get_board_group_snapshot GET /board-groups/{group_id}/snapshot
apply_board_group_heartbeat POST /board-groups/{group_id}/heartbeat
list_board_group_memory GET /board-groups/{group_id}/memory
create_board_group_memory POST /board-groups/{group_id}/memory
stream_board_group_memory GET /board-groups/{group_id}/memory/stream
list_activity GET /activity
list_task_comment_feed GET /activity/task-comments
stream_task_comment_feed GET /activity/task-comments/stream
dashboard_metrics GET /metrics/dashboard
search GET /souls-directory/search
get_markdown GET /souls-directory/{handle}/{slug}.md
get_markdown GET /souls-directory/{handle}/{slug}
list_agents GET /agents
create_agent POST /agents
stream_agents GET /agents/stream
heartbeat_or_create_agent POST /agents/heartbeat
get_agent GET /agents/{agent_id}
update_agent PATCH /agents/{agent_id}
delete_agent DELETE /agents/{agent_id}
heartbeat_agent POST /agents/{agent_id}/heartbeat
gateways_status GET /gateways/status
gateway_commands GET /gateways/commands
list_gateway_sessions GET /gateways/sessions
get_gateway_session GET /gateways/sessions/{session_id}
get_session_history GET /gateways/sessions/{session_id}/history
send_gateway_session_message POST /gateways/sessions/{session_id}/message
list_gateways GET /gateways
create_gateway POST /gateways
get_gateway GET /gateways/{gateway_id}
update_gateway PATCH /gateways/{gateway_id}
delete_gateway DELETE /gateways/{gateway_id}
sync_gateway_templates POST /gateways/{gateway_id}/templates/sync
agent_healthz GET /agent/healthz
agent_heartbeat POST /agent/heartbeat
list_boards GET /agent/boards
get_board GET /agent/boards/{board_id}
list_agents GET /agent/agents
=agent_lead_create_agent POST /agent/agents
list_tasks GET /agent/boards/{board_id}/tasks
=agent_lead_create_task POST /agent/boards/{board_id}/tasks
update_task PATCH /agent/boards/{board_id}/tasks/{task_id}
delete_task DELETE /agent/boards/{board_id}/tasks/{task_id}
list_task_comments GET /agent/boards/{board_id}/tasks/{task_id}/comments
create_task_comment POST /agent/boards/{board_id}/tasks/{task_id}/comments
update_onboarding POST /agent/boards/{board_id}/onboarding
list_tags GET /agent/boards/{board_id}/tags
get_webhook_payload GET /agent/boards/{board_id}/webhooks/{webhook_id}/payloads/{payload_id}
list_board_memory GET /agent/boards/{board_id}/memory
create_board_memory POST /agent/boards/{board_id}/memory
list_approvals GET /agent/boards/{board_id}/approvals
create_approval POST /agent/boards/{board_id}/approvals
=agent_lead_nudge_agent POST /agent/boards/{board_id}/agents/{agent_id}/nudge
get_agent_soul GET /agent/boards/{board_id}/agents/{agent_id}/soul
=agent_lead_update_agent_soul PUT /agent/boards/{board_id}/agents/{agent_id}/soul
=agent_lead_delete_board_agent DELETE /agent/boards/{board_id}/agents/{agent_id}
=agent_lead_ask_user_via_gateway_main POST /agent/boards/{board_id}/gateway/main/ask-user
=agent_main_message_board_lead POST /agent/gateway/boards/{board_id}/lead/message
=agent_main_broadcast_lead_message POST /agent/gateway/leads/broadcast
get_org_member GET /organizations/me/members/{member_id}
update_org_member PATCH /organizations/me/members/{member_id}
update_member_access PUT /organizations/me/members/{member_id}/access
remove_org_member DELETE /organizations/me/members/{member_id}
revoke_org_invite DELETE /organizations/me/invites/{invite_id}
list_tags GET /tags
create_tag POST /tags
get_tag GET /tags/{tag_id}
update_tag PATCH /tags/{tag_id}
delete_tag DELETE /tags/{tag_id}
list_org_custom_fields GET /organizations/me/custom-fields
create_org_custom_field POST /organizations/me/custom-fields
update_org_custom_field PATCH /organizations/me/custom-fields/{task_custom_field_definition_id}
delete_org_custom_field DELETE /organizations/me/custom-fields/{task_custom_field_definition_id}
list_marketplace_skills GET /skills/marketplace
create_marketplace_skill POST /skills/marketplace
delete_marketplace_skill DELETE /skills/marketplace/{skill_id}
install_marketplace_skill POST /skills/marketplace/{skill_id}/install
uninstall_marketplace_skill POST /skills/marketplace/{skill_id}/uninstall
list_skill_packs GET /skills/packs
create_skill_pack POST /skills/packs
get_skill_pack GET /skills/packs/{pack_id}
update_skill_pack PATCH /skills/packs/{pack_id}
delete_skill_pack DELETE /skills/packs/{pack_id}
sync_skill_pack POST /skills/packs/{pack_id}/sync
"""
"""Name, method and path below /api/v1; with = the whole operation id."""

MODELS = """
ActivityEventRead ActivityTaskCommentFeedItemRead AgentCreate AgentHealthStatusResponse AgentHeartbeat
AgentHeartbeatCreate AgentNudge AgentRead AgentUpdate ApprovalCreate ApprovalRead ApprovalUpdate
BlockedTaskDetail BlockedTaskError BoardCreate BoardGroupBoardSnapshot BoardGroupCreate
BoardGroupHeartbeatApply BoardGroupHeartbeatApplyResult BoardGroupMemoryCreate BoardGroupMemoryRead
BoardGroupRead BoardGroupSnapshot BoardGroupTaskSummary BoardGroupUpdate BoardMemoryCreate
BoardMemoryRead BoardOnboardingAgentComplete BoardOnboardingAnswer BoardOnboardingConfirm
BoardOnboardingLeadAgentDraft BoardOnboardingQuestionOption BoardOnboardingRead BoardOnboardingStart
BoardOnboardingUserProfile BoardRead BoardSnapshot BoardUpdate BoardWebhookCreate
BoardWebhookIngestResponse BoardWebhookPayloadRead BoardWebhookRead BoardWebhookUpdate DashboardKpis
DashboardMetrics DashboardPendingApproval DashboardPendingApprovals DashboardRangeSeries
DashboardSeriesPoint DashboardSeriesSet DashboardWipPoint DashboardWipRangeSeries
DashboardWipSeriesSet GatewayCommandsResponse GatewayCreate GatewayLeadBroadcastBoardResult
GatewayLeadBroadcastRequest GatewayLeadBroadcastResponse GatewayLeadMessageRequest
GatewayLeadMessageResponse GatewayMainAskUserRequest GatewayMainAskUserResponse GatewayRead
GatewaySessionHistoryResponse GatewaySessionMessageRequest GatewaySessionResponse
GatewaySessionsResponse GatewaysStatusResponse GatewayTemplatesSyncError GatewayTemplatesSyncResult
GatewayUpdate HTTPValidationError LLMErrorResponse OkResponse OrganizationActiveUpdate
OrganizationBoardAccessRead OrganizationBoardAccessSpec OrganizationCreate OrganizationInviteAccept
OrganizationInviteCreate OrganizationInviteRead OrganizationListItem OrganizationMemberAccessUpdate
OrganizationMemberRead OrganizationMemberUpdate OrganizationRead OrganizationUserRead
SoulsDirectoryMarkdownResponse SoulsDirectorySearchResponse SoulsDirectorySoulRef SoulUpdateRequest
TagCreate TagRead TagRef TagUpdate TaskCardRead TaskCommentCreate TaskCommentRead TaskCreate
TaskCustomFieldDefinitionCreate TaskCustomFieldDefinitionRead TaskCustomFieldDefinitionUpdate
TaskRead TaskUpdate UserRead UserUpdate ValidationError
"""
PAGES = """
ActivityEventRead ActivityTaskCommentFeedItemRead AgentRead ApprovalRead BoardGroupMemoryRead BoardGroupRead
BoardMemoryRead BoardRead BoardWebhookPayloadRead BoardWebhookRead GatewayRead OrganizationInviteRead
OrganizationMemberRead TagRead TaskCommentRead TaskRead
"""


def build_operation_id(name: str, method: str, path: str) -> str:
    """Build the id that FastAPI generates for a function with this name."""
    suffix = re.sub(r"\W", "_", f"/api/v1{path}_{method.lower()}")
    return name[1:] if name.startswith("=") else name + suffix


def test_operations_have_the_ids_of_the_original() -> None:
    known = [line.split() for line in OPERATION_IDS.strip().splitlines()]
    assert len(known) == 139
    for name, method, path in known:
        operation = DOCUMENT["paths"][f"/api/v1{path}"][method.lower()]
        assert operation["operationId"] == build_operation_id(name, method, path)


def test_models_have_the_names_of_the_original() -> None:
    assert set(MODELS.split()) - SCHEMAS.keys() == set()
    pages = {f"LimitOffsetPage_TypeVar_Customized_{model}_" for model in PAGES.split()}
    assert pages - SCHEMAS.keys() == set()
    for name in {*MODELS.split(), *pages}:
        assert "title" not in SCHEMAS[name]  # of which generators would make another name


def test_every_name_of_the_original_is_used() -> None:
    declared = {(operation.method, operation.path) for operation in OPERATIONS}
    assert OPERATION_NAMES.keys() <= declared
    for name in MODEL_NAMES.values():
        assert name in SCHEMAS, name


def test_models_of_agents_have_their_hints() -> None:
    hints = {
        "TaskCreate": "delegate_work",
        "TaskUpdate": "agent_task_update",
        "TaskCommentCreate": "agent_task_comment_create",
        "ApprovalCreate": "agent_board_approval_request",
        "BoardMemoryCreate": "agent_board_memory_record",
        "AgentCreate": "agent_management",
        "AgentNudge": "agent_coordination",
        "SoulUpdateRequest": "agent_knowledge_authoring",
        "GatewayMainAskUserRequest": "human_escalation",
        "GatewayLeadMessageResponse": "lead_direct_routing",
        "AgentHealthStatusResponse": "agent_auth_health",
    }
    for name, intent in hints.items():
        assert SCHEMAS[name]["x-llm-intent"] == intent
        assert SCHEMAS[name]["x-required-actor"] in {"any_agent", "board_lead", "agent_main"}
        assert all(isinstance(text, str) for text in SCHEMAS[name]["x-when-to-use"])
    for name in ("TaskRead", "BoardCreate", "OkResponse"):
        assert "x-llm-intent" not in SCHEMAS[name]


def test_changes_have_named_properties() -> None:
    changes = [name for name in SCHEMAS if name.endswith("Update")]
    assert changes
    for name in changes:
        assert not {"anyOf", "oneOf", "allOf", "not"} & SCHEMAS[name].keys(), name
    draft = SCHEMAS["BoardOnboardingRead"]["properties"]["draft_goal"]
    reference = {"$ref": "#/components/schemas/BoardOnboardingAgentComplete"}
    assert draft["anyOf"] == [reference, {"type": "null"}]
