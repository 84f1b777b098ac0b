"""All pages, with their access checks, the language of their reader, and error handlers.

A form that is rejected is shown at its own address; opening that address again shows the page.
"""

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from core.config.paths import IS_CHECKOUT
from core.errors import AppError, RecentSignInRequired
from core.http.grouped_router import GroupedRouter, get_first_segment
from core.http.middleware import RequireCallerMiddleware
from web import audit, causes, chat, live, policies, settings, system
from web.activity.views import ACTIVITY_ROUTES
from web.agents import connection_views, file_views
from web.agents import session_views as coding_session_views
from web.agents import views as agent_views
from web.approvals import decision_views
from web.approvals import views as approval_views
from web.auth import oidc, one_time_links, sign_in, viewer
from web.auth.viewer import SameOriginMiddleware
from web.board_webhooks.views import BOARD_WEBHOOK_ROUTES
from web.boards import bulk_views
from web.boards import list_views as board_list_views
from web.boards import settings_views as board_settings_views
from web.boards import views as board_views
from web.channels import setup_views as channel_setup_views
from web.channels import views as channel_views
from web.custom_fields.views import CUSTOM_FIELD_ROUTES
from web.dashboard import views as dashboard_views
from web.gateways import agent_views as gateway_agent_views
from web.gateways import grant_views as gateway_grant_views
from web.gateways import session_views
from web.gateways import views as gateway_views
from web.groups.views import GROUP_ROUTES
from web.notes.views import NOTE_ROUTES
from web.notifications.preference_views import PREFERENCE_ROUTES
from web.notifications.views import NOTIFICATION_ROUTES
from web.onboarding import views as onboarding_views
from web.organizations import views as people_views
from web.organizations import welcome_views
from web.pickers import PICKER_ROUTES
from web.questions import QUESTION_ROUTES
from web.saved_views.views import SAVED_VIEW_ROUTES
from web.search import SEARCH_ROUTES
from web.skills import pack_views
from web.skills import views as skill_views
from web.souls import SOUL_ROUTES
from web.tags import TAG_ROUTES
from web.tasks import completion_views, conversation_views
from web.tasks import edit_views as task_edit_views
from web.tasks import views as task_views
from web.tasks.my_task_views import MY_TASK_ROUTES
from web.tasks.trash_views import TRASH_ROUTES
from web.ui import navigation
from web.ui.assets import CLIENT_FILE_ROUTES
from web.ui.locale_middleware import LocaleMiddleware, UserLocaleMiddleware
from web.ui.posted_forms import (
    PostedFormMiddleware,
    redirect_to_sign_in,
    redirect_to_sign_in_again,
)
from web.ui.render import environment, handle_app_error, handle_server_error, handle_unknown_address
from web.webhook_endpoints import delivery_views as webhook_delivery_views
from web.webhook_endpoints import views as webhook_views

AGENT_PATH = "/agents/{agent_id:uuid}"
FILE_PATH = "/files/{name}"

AGENT_ROUTES: list[Route] = [
    Route("/agents", agent_views.show_agents, name="agents"),
    Route("/agents", agent_views.create_agent, methods=["POST"], name="create_agent"),
    Route("/agents/new", agent_views.show_new_agent_form, name="new_agent"),
    Route("/agents/new", agent_views.preview_new_agent, methods=["POST"]),
    Route(AGENT_PATH, agent_views.show_agent, name="agent"),
    *[
        Route(f"{AGENT_PATH}{path}", handler, methods=[method])
        for path, method, handler in [
            ("/runs", "GET", agent_views.show_runs),
            ("/runs/current", "GET", agent_views.show_current_run),
            ("/sessions", "GET", coding_session_views.show_sessions),
            ("/sessions/{session_id:uuid}", "GET", coding_session_views.show_session),
            ("/permissions/{grant_id:uuid}/endings", "POST", coding_session_views.revoke_grant),
            ("/messages", "GET", agent_views.show_messages),
            ("/messages/{message_id:uuid}/why", "GET", causes.show_message_causes),
            ("/messages/{message_id:uuid}/sendings", "POST", agent_views.retry_message),
            ("/settings", "GET", agent_views.show_settings),
            ("/settings", "POST", agent_views.update_agent),
            ("/config-changes", "GET", agent_views.show_settings),
            ("/config-changes", "POST", agent_views.preview_update),
            ("/edit", "GET", agent_views.redirect_to_settings),
            ("/edit", "POST", agent_views.redirect_to_settings),
            ("/soul", "GET", file_views.show_soul),
            ("/files", "GET", file_views.show_files),
            (FILE_PATH, "GET", file_views.show_file),
            (FILE_PATH, "POST", file_views.save_file),
            (f"{FILE_PATH}/edit", "GET", file_views.show_editor),
            (f"{FILE_PATH}/edit", "POST", file_views.continue_editing),
            (f"{FILE_PATH}/reviews", "GET", file_views.show_editor),
            (f"{FILE_PATH}/reviews", "POST", file_views.review_file),
            (f"{FILE_PATH}/history", "GET", file_views.show_history),
            (f"{FILE_PATH}/history/{{version_id:uuid}}", "GET", file_views.show_version),
            ("/calls", "GET", agent_views.show_first_call),
            ("/connect", "GET", connection_views.show_connection),
            ("/connect/tests", "POST", connection_views.request_test),
            ("/connect/tests", "GET", connection_views.show_connection),
            ("/tokens", "POST", agent_views.issue_token),
            ("/tokens", "GET", agent_views.show_first_call),
            ("/provisionings", "POST", agent_views.retry_provisioning),
            ("/pauses", "POST", agent_views.pause_agent),
            ("/releases", "POST", agent_views.release_agent),
            ("/deletions", "POST", agent_views.delete_agent),
        ]
    ],
]
"""The pages of agents, for members. Settings, files and the soul are for admins."""


BOARD_PATH = "/boards/{board_id:uuid}"

BOARD_ROUTES = [
    Route("/boards", board_list_views.show_boards, name="boards"),
    Route("/boards", board_list_views.create_board, methods=["POST"], name="create_board"),
    Route("/boards/new", board_list_views.show_new_board_form, name="new_board"),
    Route(f"{BOARD_PATH}/changes/{{change_id:uuid}}/undos", board_views.show_board),
    Route(BOARD_PATH, board_views.show_board, name="board"),
    Route(f"{BOARD_PATH}/settings", board_settings_views.show_settings, name="board_settings"),
    *[
        Route(f"{BOARD_PATH}{path}", handler, methods=[method])
        for path, method, handler in [
            ("/settings", "POST", board_settings_views.save_settings),
            ("/deletions", "POST", board_settings_views.delete_board),
            ("/deletions", "GET", board_settings_views.show_settings),
            ("/columns", "GET", board_views.show_columns),
            ("/rows", "GET", board_views.show_rows),
            ("/cards/{task_id:uuid}", "GET", board_views.show_card),
            # Pages that were opened before 1.0.0 ask for /crew. Remove it in 1.1.0.
            ("/crew", "GET", board_views.show_agents_panel),
            ("/agents-panel", "GET", board_views.show_agents_panel),
            ("/presence", "GET", board_views.show_viewers),
            ("/chat", "GET", chat.show_chat),
            ("/chat", "POST", chat.post_message),
            ("/chat/news", "GET", chat.show_unread_count),
            ("/approvals", "GET", approval_views.redirect_to_board_inbox),
            ("/pauses", "GET", board_views.show_pause),
            ("/pauses", "POST", board_views.pause_board),
            ("/pauses/endings", "POST", board_views.resume_board),
            ("/changes", "POST", bulk_views.change_tasks),
            ("/changes/{change_id:uuid}/undos", "POST", bulk_views.undo_change),
        ]
    ],
    *SAVED_VIEW_ROUTES,
    *BOARD_WEBHOOK_ROUTES,
    Route("/boards/{slug}", board_views.redirect_from_slug),
]


CHANNELS_PATH = "/settings/channels"
NEW_CHANNEL_PATH = f"{CHANNELS_PATH}/new/{{kind}}"
RENEWALS_PATH = f"{CHANNELS_PATH}/subscription-renewals"  # of service workers
CHANNEL_PATH = f"{CHANNELS_PATH}/{{channel_id:uuid}}"
DELIVERY_PATH = f"{CHANNEL_PATH}/deliveries/{{delivery_id:uuid}}"

SERVICE_WORKER_ROUTE = Route("/service_worker.js", channel_setup_views.serve_service_worker)

CHANNEL_ROUTES: list[Route] = [
    Route(path, handler, methods=[method])
    for path, method, handler in [
        (CHANNELS_PATH, "GET", channel_views.show_channels),
        (NEW_CHANNEL_PATH, "GET", channel_setup_views.show_new_channel),
        (NEW_CHANNEL_PATH, "POST", channel_setup_views.create_channel),
        (RENEWALS_PATH, "POST", channel_setup_views.renew_subscription),
        (CHANNEL_PATH, "GET", channel_views.show_channel),
        (f"{CHANNEL_PATH}/tests", "POST", channel_views.send_test),
        (f"{CHANNEL_PATH}/tests", "GET", channel_views.show_channel),
        (f"{CHANNEL_PATH}/names", "POST", channel_views.rename_channel),
        (f"{CHANNEL_PATH}/names", "GET", channel_views.show_channel),
        (f"{CHANNEL_PATH}/pauses", "POST", channel_views.pause_channel),
        (f"{CHANNEL_PATH}/pauses", "GET", channel_views.show_channel),
        (f"{CHANNEL_PATH}/codes", "POST", channel_setup_views.send_code),
        (f"{CHANNEL_PATH}/codes", "GET", channel_views.show_channel),
        (f"{CHANNEL_PATH}/confirmations", "POST", channel_setup_views.confirm_channel),
        (f"{CHANNEL_PATH}/confirmations", "GET", channel_views.show_channel),
        (f"{CHANNEL_PATH}/deletions", "POST", channel_views.delete_channel),
        (f"{CHANNEL_PATH}/deletions", "GET", channel_views.show_channel),
        (f"{DELIVERY_PATH}/sendings", "POST", channel_views.send_again),
        (f"{DELIVERY_PATH}/sendings", "GET", channel_views.show_channel),
    ]
]
"""Every member has channels of their own; nobody sees those of others."""


MEMBER_PATH = "/people/{member_id:uuid}"
INVITE_PATH = "/people/invites/{invite_id:uuid}"
ABOUT_PATH = "/organization/about"
APPOINTMENTS_PATH = "/organization/admin-appointments"

ORGANIZATION_ROUTES: list[Route] = [
    Route("/stops", people_views.stop_agents, methods=["POST"]),
    Route("/stops/endings", people_views.resume_agents, methods=["POST"]),
    Route("/organization", people_views.redirect_to_people),
    Route("/people", people_views.show_people, name="people"),
    *[
        Route(path, handler, methods=[method])
        for path, method, handler in [
            ("/people/invites/new", "GET", people_views.show_invite_form),
            ("/people/invites", "POST", people_views.create_invite),
            ("/people/invites", "GET", people_views.show_invite_form),
            (f"{INVITE_PATH}/links", "POST", people_views.renew_invite),
            (f"{INVITE_PATH}/endings", "POST", people_views.revoke_invite),
            (MEMBER_PATH, "GET", people_views.show_member),
            (f"{MEMBER_PATH}/roles", "POST", people_views.change_role),
            (f"{MEMBER_PATH}/roles", "GET", people_views.show_member),
            (f"{MEMBER_PATH}/access", "POST", people_views.change_access),
            (f"{MEMBER_PATH}/access", "GET", people_views.show_member),
            (f"{MEMBER_PATH}/sessions/endings", "POST", people_views.end_sessions),
            (f"{MEMBER_PATH}/endings", "POST", people_views.remove_member),
            (ABOUT_PATH, "GET", people_views.show_organization),
            (ABOUT_PATH, "POST", people_views.rename_organization),
            (APPOINTMENTS_PATH, "POST", people_views.change_admin_appointments),
            (APPOINTMENTS_PATH, "GET", people_views.show_organization),
            ("/organizations", "POST", people_views.create_organization),
            ("/organizations", "GET", people_views.show_organization),
            ("/people/departures", "POST", people_views.leave_organization),
            ("/people/departures", "GET", people_views.show_organization),
            ("/people/deletions", "POST", people_views.delete_organization),
            ("/people/deletions", "GET", people_views.show_organization),
        ]
    ],
]
"""The people, invitations and the organization itself.

`services.organizations` decides who may do what: every member sees the people, admins see and
change roles, access and invitations, and only owners change owners and delete the organization.
"""


ENDPOINT_PATH = "/webhooks/{endpoint_id:uuid}"
WEBHOOK_DELIVERY_PATH = f"{ENDPOINT_PATH}/deliveries/{{webhook_delivery_id:uuid}}"

WEBHOOK_ENDPOINT_ROUTES: list[Route] = [
    Route("/webhooks", webhook_views.show_webhooks, name="webhooks"),
    *[
        Route(path, handler, methods=[method])
        for path, method, handler in [
            ("/webhooks", "POST", webhook_views.create_webhook),
            ("/webhooks/new", "GET", webhook_views.show_new_form),
            (ENDPOINT_PATH, "GET", webhook_delivery_views.show_webhook),
            (f"{ENDPOINT_PATH}/edit", "GET", webhook_views.show_edit_form),
            (f"{ENDPOINT_PATH}/edit", "POST", webhook_views.update_webhook),
            (f"{ENDPOINT_PATH}/switches", "POST", webhook_delivery_views.switch_webhook),
            (f"{ENDPOINT_PATH}/switches", "GET", webhook_delivery_views.show_webhook),
            (f"{ENDPOINT_PATH}/secrets", "POST", webhook_delivery_views.rotate_secret),
            (f"{ENDPOINT_PATH}/secrets", "GET", webhook_delivery_views.show_webhook),
            (f"{ENDPOINT_PATH}/tests", "POST", webhook_delivery_views.send_test),
            (f"{ENDPOINT_PATH}/tests", "GET", webhook_delivery_views.show_webhook),
            (f"{ENDPOINT_PATH}/replays", "POST", webhook_delivery_views.replay_period),
            (f"{ENDPOINT_PATH}/replays", "GET", webhook_delivery_views.show_webhook),
            (f"{ENDPOINT_PATH}/deletions", "POST", webhook_views.delete_webhook),
            (f"{ENDPOINT_PATH}/deletions", "GET", webhook_delivery_views.show_webhook),
            (WEBHOOK_DELIVERY_PATH, "GET", webhook_delivery_views.show_delivery),
            (f"{WEBHOOK_DELIVERY_PATH}/replays", "POST", webhook_delivery_views.replay_delivery),
            (f"{WEBHOOK_DELIVERY_PATH}/replays", "GET", webhook_delivery_views.show_delivery),
        ]
    ],
]
"""The pages of outgoing webhooks, for admins.

A form that is rejected is shown at its own address; opening that address again shows the page.
"""


SKILL_PATH = "/skills/{skill_id:uuid}"
INSTALLATION_PATH = f"{SKILL_PATH}/gateways/{{gateway_id:uuid}}"
PACKS_PATH = "/skills/packs"
PACK_PATH = f"{PACKS_PATH}/{{pack_id:uuid}}"

SKILL_ROUTES: list[Route] = [
    Route("/skills", skill_views.show_skills, name="skills"),
    *[
        Route(path, handler, methods=[method])
        for path, method, handler in [
            ("/skills", "POST", skill_views.create_skill),
            (PACKS_PATH, "GET", pack_views.show_packs),
            (PACKS_PATH, "POST", pack_views.create_pack),
            (f"{PACKS_PATH}/new", "GET", pack_views.show_new_pack_form),
            (f"{PACKS_PATH}/uploads", "POST", pack_views.upload_pack),
            (f"{PACKS_PATH}/uploads", "GET", pack_views.show_new_pack_form),
            (f"{PACKS_PATH}/fetches", "POST", skill_views.fetch_packs),
            (f"{PACKS_PATH}/fetches", "GET", pack_views.show_packs),
            (f"{PACKS_PATH}/deletions", "POST", skill_views.delete_packs),
            (f"{PACKS_PATH}/deletions", "GET", pack_views.show_packs),
            ("/skills/deletions", "POST", skill_views.delete_skills),
            ("/skills/deletions", "GET", skill_views.show_skills),
            (PACK_PATH, "GET", pack_views.show_pack),
            (f"{PACK_PATH}/changes", "POST", pack_views.update_pack),
            (f"{PACK_PATH}/changes", "GET", pack_views.show_pack),
            (f"{PACK_PATH}/fetches", "POST", pack_views.fetch_pack),
            (f"{PACK_PATH}/fetches", "GET", pack_views.show_pack),
            (f"{PACK_PATH}/acceptances", "POST", pack_views.accept_update),
            (f"{PACK_PATH}/acceptances", "GET", pack_views.show_pack),
            (f"{PACK_PATH}/discards", "POST", pack_views.discard_update),
            (f"{PACK_PATH}/discards", "GET", pack_views.show_pack),
            (f"{PACK_PATH}/deletions", "POST", pack_views.delete_pack),
            (f"{PACK_PATH}/deletions", "GET", pack_views.show_pack),
            (SKILL_PATH, "GET", skill_views.show_skill),
            (f"{SKILL_PATH}/deletions", "POST", skill_views.delete_skill),
            (f"{SKILL_PATH}/deletions", "GET", skill_views.show_skill),
            (INSTALLATION_PATH, "GET", skill_views.show_installation),
            (INSTALLATION_PATH, "POST", skill_views.install_skill),
            (f"{INSTALLATION_PATH}/removals", "POST", skill_views.remove_skill),
            (f"{INSTALLATION_PATH}/removals", "GET", skill_views.show_installation),
        ]
    ],
]
"""Forms and pages, for admins."""


ONBOARDING_PATH = "/boards/{board_id:uuid}/onboarding"
TASK_PATH = "/boards/{board_id:uuid}/tasks/{task_id:uuid}"

PUBLIC_ROUTES: list[Route] = [
    SERVICE_WORKER_ROUTE,
    *CLIENT_FILE_ROUTES,
    Route("/first-run", one_time_links.show_first_run, name="first_run"),
    Route("/first-run", one_time_links.complete_first_run, methods=["POST"]),
    Route("/sign-in", sign_in.show_sign_in, name="sign_in"),
    Route("/sign-in", sign_in.sign_in, methods=["POST"]),
    Route("/sign-in/oidc", oidc.start_sign_in, name="sign_in_elsewhere"),
    Route(oidc.CALLBACK_PATH, oidc.handle_callback),
    Route("/invite", one_time_links.show_invite, name="invite"),
    Route("/invite", one_time_links.accept_invite_with_new_account, methods=["POST"]),
    Route("/account-deleted", settings.show_deleted_account),
    Route("/password", one_time_links.show_password_form, name="password"),
    Route("/password", one_time_links.set_password, methods=["POST"]),
    *[
        route
        for path in one_time_links.LINK_COOKIES
        for route in (
            Route(f"{path}/openings", one_time_links.open_link, methods=["POST"]),
            Route(f"{path}/openings", one_time_links.show_link_page),
        )
    ],
]

SIGNED_IN_ROUTES: list[Route] = [
    Route("/sign-out", sign_in.sign_out, methods=["POST"], name="sign_out"),
    Route(
        "/organizations/active",
        navigation.switch_organization,
        methods=["POST"],
        name="switch_organization",
    ),
    Route("/sign-in/again", sign_in.show_sign_in_again),
    Route("/sign-in/again", sign_in.sign_in_again, methods=["POST"]),
    Route("/invite/acceptances", one_time_links.accept_invite, methods=["POST"]),
    Route("/welcome", welcome_views.show_welcome, name="welcome"),
    Route("/welcome/organization", welcome_views.name_organization, methods=["POST"]),
    Route("/welcome/organization", welcome_views.show_welcome),
    Route("/welcome/board", welcome_views.create_first_board, methods=["POST"]),
    Route("/welcome/board", welcome_views.show_welcome),
    Route("/welcome/agent", welcome_views.create_first_agent, methods=["POST"]),
    Route("/welcome/agent", welcome_views.show_welcome),
    Route("/welcome/agents/{agent_id:uuid}", welcome_views.show_first_call),
]


async def show_components(request: Request) -> Response:
    """Show the page of components, whose many example objects a server does not need."""
    from web import design

    return await design.show_components(request)


MEMBER_ROUTES: list[Route] = [
    *GROUP_ROUTES,
    *NOTE_ROUTES,
    *ORGANIZATION_ROUTES,
    *SEARCH_ROUTES,
    *PICKER_ROUTES,
    *SKILL_ROUTES,
    *SOUL_ROUTES,
    *TAG_ROUTES,
    *WEBHOOK_ENDPOINT_ROUTES,
    *CUSTOM_FIELD_ROUTES,
    *TRASH_ROUTES,
    *MY_TASK_ROUTES,
    *QUESTION_ROUTES,
    *ACTIVITY_ROUTES,
    *NOTIFICATION_ROUTES,
    *CHANNEL_ROUTES,
    *PREFERENCE_ROUTES,
    Route(viewer.EVENTS_PATH, live.stream_events, name="events"),
    *dashboard_views.ROUTES,
    *([Route("/design", show_components)] if IS_CHECKOUT else []),
    *[
        Route(f"{ONBOARDING_PATH}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", onboarding_views.show_onboarding),
            ("", "POST", onboarding_views.start_onboarding),
            ("/answers", "GET", onboarding_views.show_onboarding),
            ("/answers", "POST", onboarding_views.answer_question),
            ("/corrections", "GET", onboarding_views.show_onboarding),
            ("/corrections", "POST", onboarding_views.correct_answer),
            ("/reminders", "POST", onboarding_views.remind_agent),
            ("/restarts", "POST", onboarding_views.restart_onboarding),
            ("/endings", "POST", onboarding_views.end_onboarding),
            ("/news", "GET", onboarding_views.show_updates),
            ("/review", "GET", onboarding_views.show_review),
            ("/review", "POST", onboarding_views.show_review),
            ("/additions", "GET", onboarding_views.show_review),
            ("/additions", "POST", onboarding_views.add_context),
            ("/confirmations", "GET", onboarding_views.show_review),
            ("/confirmations", "POST", onboarding_views.confirm_goal),
            ("/launch", "GET", onboarding_views.show_launch),
        ]
    ],
    *AGENT_ROUTES,
    Route("/gateways", gateway_views.show_gateways, name="gateways"),
    Route("/gateways", gateway_views.create_gateway, methods=["POST"]),
    Route("/gateways/new", gateway_views.show_new_gateway_form),
    *[
        Route(f"/gateways/{{gateway_id:uuid}}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", gateway_views.show_gateway),
            ("/edit", "GET", gateway_views.show_edit_form),
            ("/edit", "POST", gateway_views.update_gateway),
            ("/checks", "POST", gateway_views.check_gateway),
            ("/checks", "GET", gateway_views.show_gateway),
            ("/deletions", "POST", gateway_views.delete_gateway),
            ("/deletions", "GET", gateway_views.show_gateway),
            ("/agents", "GET", gateway_agent_views.show_gateway_agents),
            ("/agents", "POST", gateway_agent_views.link_agents),
            ("/agents/{agent_id:uuid}/endings", "POST", gateway_agent_views.unlink_agent),
            ("/sync", "GET", gateway_agent_views.show_file_sync),
            ("/sync", "POST", gateway_agent_views.start_file_sync),
            ("/config-changes", "GET", gateway_views.show_config_changes),
            ("/grants", "GET", gateway_grant_views.show_command_grants),
            ("/grants/revocations", "POST", gateway_grant_views.revoke_command_grant),
            ("/grants/revocations", "GET", gateway_grant_views.show_command_grants),
            ("/sync/progress", "GET", gateway_agent_views.show_sync_progress),
            ("/sessions", "GET", session_views.show_sessions),
            ("/sessions/{key:path}/messages", "POST", session_views.send_message),
            ("/sessions/{key:path}/messages", "GET", session_views.show_session),
            ("/sessions/{key:path}", "GET", session_views.show_session),
        ]
    ],
    Route("/audit", audit.show_audit, name="audit"),
    Route("/audit/communication", audit.show_communication),
    Route("/audit/export", audit.export_audit),
    Route("/settings", settings.show_settings, name="settings"),
    Route("/settings/profile", settings.save_profile, methods=["POST"]),
    Route("/settings/profile", settings.show_settings),
    Route("/settings/system", system.show_system),
    Route("/settings/account", settings.show_account),
    Route("/settings/account", settings.delete_account, methods=["POST"]),
    Route("/settings/time-zone", settings.save_detected_time_zone, methods=["POST"]),
    Route("/settings/language", navigation.choose_language, methods=["POST"]),
    Route("/settings/password", settings.change_password, methods=["POST"]),
    Route("/settings/password", settings.show_settings),
    Route("/settings/sessions/endings", settings.end_other_sessions, methods=["POST"]),
    Route("/settings/sessions/{sign_in_id:uuid}/endings", settings.end_session, methods=["POST"]),
    Route("/settings/tokens", settings.create_token, methods=["POST"]),
    Route("/settings/tokens", settings.show_settings),
    Route("/settings/tokens/endings", settings.show_token_endings),
    Route("/settings/tokens/endings", settings.revoke_tokens, methods=["POST"]),
    Route("/settings/tokens/{token_id:uuid}/endings", settings.revoke_token, methods=["POST"]),
    *[
        Route(f"{scope}/policy{path}", handler, methods=[method])
        for scope in ("/settings", "/boards/{board_id:uuid}")
        for path, method, handler in [
            ("", "GET", policies.show_policy),
            ("/presets", "POST", policies.use_preset),
            ("/rules", "POST", policies.save_rule),
            ("/rules/new", "GET", policies.show_rule),
            ("/rules/{rule_id:uuid}", "GET", policies.show_rule),
            ("/rules/{rule_id:uuid}", "POST", policies.save_rule),
            ("/rules/{rule_id:uuid}/moves", "POST", policies.move_rule),
            ("/rules/{rule_id:uuid}/switches", "POST", policies.switch_rule),
            ("/rules/{rule_id:uuid}/deletions", "POST", policies.delete_rule),
        ]
    ],
    Route("/rail", navigation.show_sidebar, name="rail"),
    Route("/rail/collapses", navigation.collapse_section, methods=["POST"]),
    Route("/pins", navigation.pin_boards, methods=["POST"]),
    Route("/pins/endings", navigation.unpin_boards, methods=["POST"]),
    Route("/pins/moves", navigation.move_pin, methods=["POST"]),
    Route("/", navigation.redirect_home, name="home"),
    *BOARD_ROUTES,
    Route("/boards/{board_id:uuid}/tasks", task_views.create_task, methods=["POST"]),
    Route("/boards/{board_id:uuid}/tasks/new", task_views.show_new_task_form),
    Route("/boards/{board_id:uuid}/completions", completion_views.show_completions),
    Route("/boards/{board_id:uuid}/completions", completion_views.complete_tasks, methods=["POST"]),
    *[
        Route(f"{TASK_PATH}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", task_views.show_task),
            ("/moves", "POST", task_views.move_task),
            ("/changes", "POST", task_edit_views.update_task),
            ("/descriptions", "GET", task_edit_views.show_descriptions),
            (
                "/descriptions/{version_id:uuid}/restorations",
                "POST",
                task_edit_views.restore_description,
            ),
            ("/questions", "POST", task_views.request_approval),
            ("/completions", "GET", completion_views.show_completions),
            ("/completions", "POST", completion_views.complete_tasks),
            ("/deletions", "POST", task_views.delete_task),
            ("/restorations", "POST", task_views.restore_task),
            ("/comments", "POST", conversation_views.add_comment),
            ("/conversation", "GET", conversation_views.show_conversation),
            ("/watchers", "POST", conversation_views.watch_task),
            ("/watchers/endings", "POST", conversation_views.unwatch_task),
            ("/runs", "GET", task_views.show_task_runs),
            ("/why", "GET", causes.show_task_causes),
        ]
    ],
    Route("/approvals", approval_views.show_inbox, name="approvals"),
    Route("/approvals/requests/{request_id:uuid}", approval_views.show_gateway_request),
    Route(
        "/approvals/requests/{request_id:uuid}/answers",
        approval_views.resolve_gateway_request,
        methods=["POST"],
    ),
    Route("/approvals/rows", approval_views.show_rows),
    Route("/approvals/answers", decision_views.decide_approvals, methods=["POST"]),
    Route("/approvals/undoings", decision_views.undo_decisions, methods=["POST"]),
    *[
        Route(f"/approvals/{{approval_id:uuid}}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", approval_views.show_approval),
            ("/why", "GET", causes.show_approval_causes),
            ("/answers", "POST", decision_views.decide_approval),
            ("/edits", "POST", decision_views.preview_edit),
            ("/edits", "GET", approval_views.show_approval),
            ("/undoings", "POST", decision_views.undo_decision),
            ("/questions", "POST", decision_views.request_clarification),
        ]
    ],
]


__all__ = ["handle_server_error", "handle_unknown_address", "pages"]

signed_in_middleware = Middleware(
    RequireCallerMiddleware,
    identify=viewer.rate_limited_viewer,
    otherwise=redirect_to_sign_in,
    routes=(*SIGNED_IN_ROUTES, *MEMBER_ROUTES),
)
member_middleware = Middleware(viewer.RequireMemberMiddleware)

pages = Mount(
    "/",
    routes=[
        *PUBLIC_ROUTES,
        Mount(
            "/",
            routes=[
                *SIGNED_IN_ROUTES,
                Mount(
                    "/",
                    GroupedRouter(MEMBER_ROUTES, get_first_segment),
                    middleware=[member_middleware],
                ),
            ],
            middleware=[
                signed_in_middleware,
                Middleware(UserLocaleMiddleware),
                Middleware(PostedFormMiddleware, environment),
                Middleware(viewer.UpgradeCookieMiddleware),
            ],
        ),
    ],
    middleware=[
        Middleware(LocaleMiddleware),
        Middleware(SameOriginMiddleware),
        Middleware(
            ExceptionMiddleware,
            handlers={
                AppError: handle_app_error,
                RecentSignInRequired: redirect_to_sign_in_again,
                HTTPException: handle_unknown_address,
            },
        ),
    ],
)
