"""Routes of the pages of board groups.

A form that is rejected is shown at its own address; opening that address again shows the page.
"""

from starlette.routing import Route

from web.groups import conversation_views, edit_views, views

GROUP_PATH = "/groups/{group_id:uuid}"

GROUP_ROUTES: list[Route] = [
    Route("/groups", views.show_groups, name="groups"),
    Route("/groups", edit_views.create_group, methods=["POST"]),
    Route("/groups/new", edit_views.show_new_group_form),
    *[
        Route(f"{GROUP_PATH}{path}", handler, methods=[method])
        for path, method, handler in [
            ("", "GET", views.show_group),
            ("/agents", "GET", views.show_group_agents),
            ("/heartbeats", "POST", views.set_heartbeat_interval),
            ("/heartbeats", "GET", views.show_group),
            ("/chat", "GET", conversation_views.show_chat),
            ("/chat", "POST", conversation_views.post_message),
            ("/notes", "GET", conversation_views.show_notes),
            ("/notes", "POST", conversation_views.add_note),
            ("/edit", "GET", edit_views.show_edit_form),
            ("/edit", "POST", edit_views.update_group),
            ("/deletions", "POST", edit_views.delete_group),
            ("/deletions", "GET", edit_views.show_edit_form),
        ]
    ],
]
"""The pages of board groups, for members.

Who may read or change a group is decided by `services.boards.group_access`: a user who may read or
change one of its boards may do the same with the group; only admins change its name, boards and the
heartbeat interval of its agents.
"""

__all__ = ["GROUP_ROUTES"]
