"""Routes of the pages of an organization: its people, invitations, and the organization itself.

A form that is rejected is shown at its own address; opening that address again shows the page.
Who may do what is decided by `services.organizations`: every member sees the people, admins see
and change roles, access and invitations, and only owners change owners and delete the organization.
"""

from starlette.routing import Route

from web.organizations import member_views, organization_views, views

MEMBER_PATH = "/people/{member_id:uuid}"
INVITE_PATH = "/people/invites/{invite_id:uuid}"
ABOUT_PATH = "/organization/about"
APPOINTMENTS_PATH = "/organization/admin-appointments"

ORGANIZATION_ROUTES: list[Route] = [
    Route("/stops", views.stop_agents, methods=["POST"]),
    Route("/stops/endings", views.resume_agents, methods=["POST"]),
    Route("/organization", views.redirect_to_people),
    Route("/people", views.show_people, name="people"),
    *[
        Route(path, handler, methods=[method])
        for path, method, handler in [
            ("/people/invites/new", "GET", member_views.show_invite_form),
            ("/people/invites", "POST", member_views.create_invite),
            ("/people/invites", "GET", member_views.show_invite_form),
            (f"{INVITE_PATH}/links", "POST", member_views.renew_invite),
            (f"{INVITE_PATH}/endings", "POST", member_views.revoke_invite),
            (MEMBER_PATH, "GET", member_views.show_member),
            (f"{MEMBER_PATH}/roles", "POST", member_views.change_role),
            (f"{MEMBER_PATH}/roles", "GET", member_views.show_member),
            (f"{MEMBER_PATH}/access", "POST", member_views.change_access),
            (f"{MEMBER_PATH}/access", "GET", member_views.show_member),
            (f"{MEMBER_PATH}/sessions/endings", "POST", member_views.end_sessions),
            (f"{MEMBER_PATH}/endings", "POST", member_views.remove_member),
            (ABOUT_PATH, "GET", organization_views.show_organization),
            (ABOUT_PATH, "POST", organization_views.rename_organization),
            (APPOINTMENTS_PATH, "POST", organization_views.change_admin_appointments),
            (APPOINTMENTS_PATH, "GET", organization_views.show_organization),
            ("/organizations", "POST", organization_views.create_organization),
            ("/organizations", "GET", organization_views.show_organization),
            ("/people/departures", "POST", organization_views.leave_organization),
            ("/people/departures", "GET", organization_views.show_organization),
            ("/people/deletions", "POST", organization_views.delete_organization),
            ("/people/deletions", "GET", organization_views.show_organization),
        ]
    ],
]
"""The pages of an organization, for members."""

__all__ = ["ORGANIZATION_ROUTES"]
