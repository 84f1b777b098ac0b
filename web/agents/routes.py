"""Routes of the pages of agents.

A form that is rejected is shown at its own address; opening that address again shows the page.
"""

from starlette.routing import Route

from web.agents import config_views, edit_views, file_edit_views, file_views, tab_views, views
from web.causes import views as cause_views

AGENT_PATH = "/agents/{agent_id:uuid}"
FILE_PATH = "/files/{name}"

AGENT_ROUTES: list[Route] = [
    Route("/agents", views.show_agents, name="agents"),
    Route("/agents", views.create_agent, methods=["POST"], name="create_agent"),
    Route("/agents/table", views.show_agents_table),
    Route("/agents/new", views.show_new_agent_form, name="new_agent"),
    Route("/agents/new", config_views.preview_new_agent, methods=["POST"]),
    Route(AGENT_PATH, tab_views.show_agent, name="agent"),
    *[
        Route(f"{AGENT_PATH}{path}", handler, methods=[method])
        for path, method, handler in [
            ("/runs", "GET", tab_views.show_runs),
            ("/runs/current", "GET", tab_views.show_current_run),
            ("/messages", "GET", tab_views.show_messages),
            ("/messages/{message_id:uuid}/why", "GET", cause_views.show_message_causes),
            ("/messages/{message_id:uuid}/sendings", "POST", tab_views.retry_message),
            ("/settings", "GET", tab_views.show_settings),
            ("/settings", "POST", edit_views.update_agent),
            ("/config-changes", "GET", tab_views.show_settings),
            ("/config-changes", "POST", config_views.preview_update),
            ("/edit", "GET", tab_views.redirect_to_settings),
            ("/edit", "POST", tab_views.redirect_to_settings),
            ("/soul", "GET", file_views.show_soul),
            ("/files", "GET", file_views.show_files),
            (FILE_PATH, "GET", file_views.show_file),
            (FILE_PATH, "POST", file_edit_views.save_file),
            (f"{FILE_PATH}/edit", "GET", file_edit_views.show_editor),
            (f"{FILE_PATH}/edit", "POST", file_edit_views.continue_editing),
            (f"{FILE_PATH}/reviews", "GET", file_edit_views.show_editor),
            (f"{FILE_PATH}/reviews", "POST", file_edit_views.review_file),
            (f"{FILE_PATH}/history", "GET", file_views.show_history),
            (f"{FILE_PATH}/history/{{version_id:uuid}}", "GET", file_views.show_version),
            ("/calls", "GET", views.show_first_call),
            ("/tokens", "POST", views.issue_token),
            ("/tokens", "GET", views.show_first_call),
            ("/provisionings", "POST", views.retry_provisioning),
            ("/pauses", "POST", views.pause_agent),
            ("/releases", "POST", views.release_agent),
            ("/deletions", "POST", views.delete_agent),
        ]
    ],
]
"""The pages of agents, for members. Settings, files and the soul are for admins."""
