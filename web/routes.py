"""Routes of all pages, by who may open them."""

from starlette.routing import Route

from web import live
from web.activity.views import ACTIVITY_ROUTES
from web.agents.routes import AGENT_ROUTES
from web.approvals import decision_views as decisions_views
from web.approvals import views as approval_views
from web.audit import views as audit_views
from web.auth import link_secrets, oidc, one_time_links, sign_in, sign_in_again, viewer
from web.boards.routes import BOARD_ROUTES
from web.causes import views as cause_views
from web.channels.routes import CHANNEL_ROUTES, SERVICE_WORKER_ROUTE
from web.custom_fields.views import CUSTOM_FIELD_ROUTES
from web.dashboard import views as dashboard_views
from web.design import views as design_views
from web.gateways import agent_views as gateway_agent_views
from web.gateways import config_views as gateway_config_views
from web.gateways import edit_views as gateway_edit_views
from web.gateways import grant_views as gateway_grant_views
from web.gateways import session_views
from web.gateways import views as gateway_views
from web.groups.edit_views import GROUP_ROUTES
from web.notes.edit_views import NOTE_ROUTES
from web.notifications.preference_views import PREFERENCE_ROUTES
from web.notifications.views import NOTIFICATION_ROUTES
from web.onboarding import views as onboarding_views
from web.organizations import welcome_views
from web.organizations.routes import ORGANIZATION_ROUTES
from web.policies import rule_views
from web.policies import views as policy_views
from web.questions.views import QUESTION_ROUTES
from web.search.views import SEARCH_ROUTES
from web.settings import account_views
from web.settings import views as settings_views
from web.skills.routes import SKILL_ROUTES
from web.souls.views import SOUL_ROUTES
from web.tags.views import TAG_ROUTES
from web.tasks import completion_views, conversation_views, description_views
from web.tasks import edit_views as task_edit_views
from web.tasks import views as task_views
from web.tasks.own_task_views import OWN_TASK_ROUTES
from web.tasks.trash_views import TRASH_ROUTES
from web.ui import navigation
from web.webhook_endpoints.routes import WEBHOOK_ENDPOINT_ROUTES

ONBOARDING_PATH = "/boards/{board_id:uuid}/onboarding"
TASK_PATH = "/boards/{board_id:uuid}/tasks/{task_id:uuid}"

PUBLIC_ROUTES: list[Route] = [
    SERVICE_WORKER_ROUTE,
    Route("/first-run", one_time_links.show_first_run, name="first_run"),
    Route("/first-run", one_time_links.complete_first_run, methods=["POST"]),
    Route("/sign-in", sign_in.show_sign_in, name="sign_in"),
    Route("/sign-in", sign_in.sign_in, methods=["POST"]),
    Route("/sign-in/oidc", oidc.start_sign_in, name="sign_in_elsewhere"),
    Route(oidc.CALLBACK_PATH, oidc.handle_callback),
    Route("/invite", one_time_links.show_invite, name="invite"),
    Route("/invite", one_time_links.accept_invite_with_new_account, methods=["POST"]),
    Route("/account-deleted", account_views.show_deleted_account),
    Route("/password", one_time_links.show_password_form, name="password"),
    Route("/password", one_time_links.set_password, methods=["POST"]),
    *[
        route
        for path in link_secrets.LINK_COOKIES
        for route in (
            Route(f"{path}/openings", link_secrets.open_link, methods=["POST"]),
            Route(f"{path}/openings", link_secrets.show_link_page),
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
    Route("/sign-in/again", sign_in_again.show_sign_in_again),
    Route("/sign-in/again", sign_in_again.sign_in_again, methods=["POST"]),
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

MEMBER_ROUTES: list[Route] = [
    *GROUP_ROUTES,
    *NOTE_ROUTES,
    *ORGANIZATION_ROUTES,
    *SEARCH_ROUTES,
    *SKILL_ROUTES,
    *SOUL_ROUTES,
    *TAG_ROUTES,
    *WEBHOOK_ENDPOINT_ROUTES,
    *CUSTOM_FIELD_ROUTES,
    *TRASH_ROUTES,
    *OWN_TASK_ROUTES,
    *QUESTION_ROUTES,
    *ACTIVITY_ROUTES,
    *NOTIFICATION_ROUTES,
    *CHANNEL_ROUTES,
    *PREFERENCE_ROUTES,
    Route(viewer.EVENTS_PATH, live.stream_events, name="events"),
    *dashboard_views.ROUTES,
    *design_views.ROUTES,
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
            ("/edit", "GET", gateway_edit_views.show_edit_form),
            ("/edit", "POST", gateway_edit_views.update_gateway),
            ("/checks", "POST", gateway_views.check_gateway),
            ("/checks", "GET", gateway_views.show_gateway),
            ("/deletions", "POST", gateway_views.delete_gateway),
            ("/deletions", "GET", gateway_views.show_gateway),
            ("/agents", "GET", gateway_agent_views.show_gateway_agents),
            ("/agents", "POST", gateway_agent_views.link_agents),
            ("/agents/{agent_id:uuid}/endings", "POST", gateway_agent_views.unlink_agent),
            ("/sync", "GET", gateway_agent_views.show_file_sync),
            ("/sync", "POST", gateway_agent_views.start_file_sync),
            ("/config-changes", "GET", gateway_config_views.show_config_changes),
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
    Route("/audit", audit_views.show_audit, name="audit"),
    Route("/audit/communication", audit_views.show_communication),
    Route("/audit/export", audit_views.export_audit),
    Route("/settings", settings_views.show_settings, name="settings"),
    Route("/settings/profile", settings_views.save_profile, methods=["POST"]),
    Route("/settings/profile", settings_views.show_settings),
    Route("/settings/account", account_views.show_account),
    Route("/settings/account", account_views.delete_account, methods=["POST"]),
    Route("/settings/language", navigation.choose_language, methods=["POST"]),
    Route("/settings/password", settings_views.change_password, methods=["POST"]),
    Route("/settings/password", settings_views.show_settings),
    Route("/settings/sessions/endings", settings_views.end_other_sessions, methods=["POST"]),
    Route(
        "/settings/sessions/{sign_in_id:uuid}/endings", settings_views.end_session, methods=["POST"]
    ),
    Route("/settings/tokens", settings_views.create_token, methods=["POST"]),
    Route("/settings/tokens", settings_views.show_settings),
    Route("/settings/tokens/endings", settings_views.show_token_endings),
    Route("/settings/tokens/endings", settings_views.revoke_tokens, methods=["POST"]),
    Route(
        "/settings/tokens/{token_id:uuid}/endings", settings_views.revoke_token, methods=["POST"]
    ),
    *[
        Route(f"{scope}/policy{path}", handler, methods=[method])
        for scope in ("/settings", "/boards/{board_id:uuid}")
        for path, method, handler in [
            ("", "GET", policy_views.show_policy),
            ("/presets", "POST", policy_views.use_preset),
            ("/rules", "POST", rule_views.save_rule),
            ("/rules/new", "GET", rule_views.show_rule),
            ("/rules/{rule_id:uuid}", "GET", rule_views.show_rule),
            ("/rules/{rule_id:uuid}", "POST", rule_views.save_rule),
            ("/rules/{rule_id:uuid}/moves", "POST", policy_views.move_rule),
            ("/rules/{rule_id:uuid}/switches", "POST", policy_views.switch_rule),
            ("/rules/{rule_id:uuid}/deletions", "POST", policy_views.delete_rule),
        ]
    ],
    Route("/rail", navigation.show_sidebar, name="rail"),
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
            ("/descriptions", "GET", description_views.show_descriptions),
            (
                "/descriptions/{version_id:uuid}/restorations",
                "POST",
                description_views.restore_description,
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
            ("/why", "GET", cause_views.show_task_causes),
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
    Route("/approvals/answers", decisions_views.decide_approvals, methods=["POST"]),
    Route("/approvals/undoings", decisions_views.undo_decisions, methods=["POST"]),
    *[
        Route(f"/approvals/{{approval_id:uuid}}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", approval_views.show_approval),
            ("/why", "GET", cause_views.show_approval_causes),
            ("/answers", "POST", decisions_views.decide_approval),
            ("/undoings", "POST", decisions_views.undo_decision),
            ("/questions", "POST", decisions_views.request_clarification),
        ]
    ],
]
