"""Names of operations and models for clients, where those of the original differ from our code.

Clients that were generated from the original's document import these names.
"""

from collections.abc import Mapping

OPERATION_NAMES: Mapping[tuple[str, str], str] = {
    ("GET", "/activity/task-comments/stream"): "stream_task_comment_feed",
    ("GET", "/metrics/dashboard"): "dashboard_metrics",
    ("GET", "/organizations/me/list"): "list_my_organizations",
    ("PATCH", "/organizations/me/active"): "set_active_org",
    ("GET", "/organizations/me"): "get_my_org",
    ("DELETE", "/organizations/me"): "delete_my_org",
    ("GET", "/organizations/me/member"): "get_my_membership",
    ("GET", "/organizations/me/members"): "list_org_members",
    ("GET", "/organizations/me/members/{member_id}"): "get_org_member",
    ("PATCH", "/organizations/me/members/{member_id}"): "update_org_member",
    ("DELETE", "/organizations/me/members/{member_id}"): "remove_org_member",
    ("GET", "/organizations/me/invites"): "list_org_invites",
    ("POST", "/organizations/me/invites"): "create_org_invite",
    ("DELETE", "/organizations/me/invites/{invite_id}"): "revoke_org_invite",
    ("POST", "/organizations/invites/accept"): "accept_org_invite",
    ("GET", "/organizations/me/custom-fields"): "list_org_custom_fields",
    ("POST", "/organizations/me/custom-fields"): "create_org_custom_field",
    (
        "PATCH",
        "/organizations/me/custom-fields/{task_custom_field_definition_id}",
    ): "update_org_custom_field",
    (
        "DELETE",
        "/organizations/me/custom-fields/{task_custom_field_definition_id}",
    ): "delete_org_custom_field",
    ("POST", "/agents/heartbeat"): "heartbeat_or_create_agent",
    ("POST", "/agents/{agent_id}/heartbeat"): "heartbeat_agent",
    ("GET", "/gateways/status"): "gateways_status",
    ("GET", "/gateways/commands"): "gateway_commands",
    ("GET", "/gateways/sessions/{session_id}/history"): "get_session_history",
    ("POST", "/gateways/sessions/{session_id}/message"): "send_gateway_session_message",
    ("POST", "/boards/{board_id}/onboarding/agent"): "agent_onboarding_update",
    ("GET", "/board-groups/{group_id}/snapshot"): "get_board_group_snapshot",
    ("GET", "/board-groups/{group_id}/memory"): "list_board_group_memory",
    ("POST", "/board-groups/{group_id}/memory"): "create_board_group_memory",
    ("GET", "/board-groups/{group_id}/memory/stream"): "stream_board_group_memory",
    ("GET", "/boards/{board_id}/group-memory"): "list_board_group_memory_for_board",
    ("POST", "/boards/{board_id}/group-memory"): "create_board_group_memory_for_board",
    ("GET", "/boards/{board_id}/group-memory/stream"): "stream_board_group_memory_for_board",
}
"""The first part of an operation id, if it is not the name of the handler."""

MODEL_NAMES: Mapping[str, str] = {
    "CustomFieldRead": "TaskCustomFieldDefinitionRead",
    "GroupBoard": "BoardGroupBoardSnapshot",
    "GroupSnapshot": "BoardGroupSnapshot",
    "TaskSummary": "BoardGroupTaskSummary",
}
"""The component of a model in the OpenAPI document, if it is neither declared in its class as
`component` nor the name of the class."""
