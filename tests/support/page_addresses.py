"""The addresses of every page by route."""

PAGES = {
    "/welcome": ["/welcome?step=organization"],
    "/welcome/agents/{agent_id:uuid}": ["/welcome/agents/{agent}"],
    "/boards": ["/boards"],
    "/boards/new": ["/boards/new"],
    "/boards/{board_id:uuid}": [
        "/boards/{board}",
        "/boards/{board}?done=1&column=done",
        "/boards/{board}?view=list",
        "/boards/{board}?q=nothing+is+called+that",
        "/boards/{empty}",
        "/boards/{empty}?view=list",
        "/boards/{asked}",
    ],
    "/boards/{board_id:uuid}/settings": [
        "/boards/{board}/settings",
        "/boards/{drafted}/settings",
    ],
    "/boards/{board_id:uuid}/onboarding": [
        "/boards/{empty}/onboarding",
        "/boards/{unasked}/onboarding",
        "/boards/{waited}/onboarding",
        "/boards/{asked}/onboarding",
        "/boards/{asked}/onboarding?again=1",
        "/boards/{drafted}/onboarding",
        "/boards/{launched}/onboarding",
    ],
    "/boards/{board_id:uuid}/onboarding/review": [
        "/boards/{empty}/onboarding/review",
        "/boards/{drafted}/onboarding/review",
        "/boards/{launched}/onboarding/review",
    ],
    "/boards/{board_id:uuid}/onboarding/launch": [
        "/boards/{alone}/onboarding/launch",
        "/boards/{launched}/onboarding/launch",
    ],
    "/boards/{board_id:uuid}/chat": ["/boards/{board}/chat", "/boards/{empty}/chat"],
    "/boards/{board_id:uuid}/notes": ["/boards/{board}/notes", "/boards/{empty}/notes"],
    "/boards/{board_id:uuid}/tasks/new": ["/boards/{board}/tasks/new"],
    "/boards/{board_id:uuid}/tasks/{task_id:uuid}": [
        "/boards/{board}/tasks/{task}",
        "/boards/{empty}/tasks/{bare}",
        "/boards/{quay}/tasks/{worked_on}",
    ],
    "/boards/{board_id:uuid}/tasks/{task_id:uuid}/why": [
        "/boards/{board}/tasks/{task}/why",
        "/boards/{empty}/tasks/{bare}/why",
        "/boards/{quay}/tasks/{worked_on}/why",
    ],
    "/agents": ["/agents", "/agents?board={empty}"],
    "/agents/new": ["/agents/new"],
    "/agents/{agent_id:uuid}": ["/agents/{agent}", "/agents/{docker}"],
    "/agents/{agent_id:uuid}/edit": ["/agents/{agent}/edit"],
    "/agents/{agent_id:uuid}/calls": ["/agents/{agent}/calls"],
    "/gateways": ["/gateways"],
    "/gateways/new": ["/gateways/new"],
    "/gateways/{gateway_id:uuid}": ["/gateways/{gateway}"],
    "/gateways/{gateway_id:uuid}/agents": [
        "/gateways/{workshop}/agents",
        "/gateways/{workshop}/agents?wait=1",
        "/gateways/{gateway}/agents?wait=1",
    ],
    "/gateways/{gateway_id:uuid}/sync": [
        "/gateways/{workshop}/sync",
        "/gateways/{workshop}/sync?wait=1",
        "/gateways/{gateway}/sync?wait=1",
    ],
    "/gateways/{gateway_id:uuid}/sessions": ["/gateways/{workshop}/sessions"],
    "/gateways/{gateway_id:uuid}/sessions/{key:path}": [
        "/gateways/{workshop}/sessions/agent:main:main",
        "/gateways/{workshop}/sessions/agent:main:main?wait=1",
        "/gateways/{gateway}/sessions/agent:main:nobody?wait=1",
    ],
    "/gateways/{gateway_id:uuid}/edit": ["/gateways/{gateway}/edit"],
    "/audit": ["/audit", "/audit?chain=installation", "/audit?object=nothing+is+called+that"],
    "/people": ["/people"],
    "/settings": ["/settings"],
    "/settings/policy": ["/settings/policy", "/settings/policy?try=1"],
    "/settings/policy/rules/new": ["/settings/policy/rules/new"],
    "/settings/policy/rules/{rule_id:uuid}": ["/settings/policy/rules/{shared_rule}"],
    "/boards/{board_id:uuid}/policy": ["/boards/{board}/policy", "/boards/{empty}/policy?try=1"],
    "/boards/{board_id:uuid}/policy/rules/new": ["/boards/{board}/policy/rules/new"],
    "/boards/{board_id:uuid}/policy/rules/{rule_id:uuid}": ["/boards/{board}/policy/rules/{rule}"],
    "/sign-in/again": ["/sign-in/again"],
    "/activity": ["/activity", "/activity?board={empty}"],
    "/approvals": [
        "/approvals?board={board}",
        "/approvals?state=decided",
        "/approvals?state=gateways",
        "/approvals?board={quay}",
        "/approvals?board={empty}",
    ],
    "/approvals/requests/{request_id:uuid}": [
        "/approvals/requests/{command}",
        "/approvals/requests/{question}",
        "/approvals/requests/{over}",
    ],
    "/approvals/{approval_id:uuid}": ["/approvals/{approval}", "/approvals/{decided}"],
    "/approvals/{approval_id:uuid}/why": ["/approvals/{decided}/why"],
    "/agents/{agent_id:uuid}/messages/{message_id:uuid}/why": [
        "/agents/{agent}/messages/{message}/why"
    ],
}
"""Pages for signed-in users: the addresses to open, by route."""
OTHER_PAGES = ["/docs", "/there-is-no-such-page"]
PUBLIC_PAGES = {
    "/sign-in": ["/sign-in"],
    "/first-run": ["/first-run"],
    "/invite": ["/invite"],
    "/password": ["/password"],
}
NON_PAGES = {
    "/welcome/organization": "shows what /welcome shows",
    "/boards/{board_id:uuid}/onboarding/answers": "shows how far it is",
    "/boards/{board_id:uuid}/onboarding/corrections": "shows how far it is",
    "/boards/{board_id:uuid}/onboarding/additions": "shows the review",
    "/boards/{board_id:uuid}/onboarding/confirmations": "shows the review",
    "/boards/{board_id:uuid}/onboarding/news": "a part",
    "/boards/{board_id:uuid}/deletions": "shows the settings of the board",
    "/agents/{agent_id:uuid}/tokens": "shows how the agent calls",
    "/gateways/{gateway_id:uuid}/checks": "shows the gateway",
    "/gateways/{gateway_id:uuid}/deletions": "shows the gateway",
    "/gateways/{gateway_id:uuid}/sync/progress": "a part",
    "/gateways/{gateway_id:uuid}/sessions/{key:path}/messages": "shows the session",
    "/people/invites": "shows the people",
    "/people/deletions": "shows the people",
    "/first-run/openings": "leads to /first-run",
    "/invite/openings": "leads to /invite",
    "/password/openings": "leads to /password",
    "/settings/profile": "shows the settings",
    "/settings/password": "shows the settings",
    "/settings/tokens": "shows the settings",
    "/": "leads on",
    "/audit/export": "a file",
    "/sign-in/oidc": "leads to the provider",
    "/sign-in/oidc/callback": "leads on, or shows what /sign-in shows",
    "/welcome/board": "leads on, once there is a board",
    "/welcome/agent": "leads on, once there is an agent",
    "/boards/{slug}": "leads to the board",
    "/boards/{board_id:uuid}/approvals": "leads to the questions of the board",
    "/events": "the live connection",
    "/rail": "a part",
    "/agents/table": "a part",
    "/agents/{agent_id:uuid}/messages": "a part",
    "/agents/{agent_id:uuid}/runs": "a part",
    "/activity/news": "a part",
    "/boards/{board_id:uuid}/cards/{task_id:uuid}": "a part",
    "/boards/{board_id:uuid}/columns": "a part",
    "/boards/{board_id:uuid}/crew": "a part",
    "/boards/{board_id:uuid}/presence": "a part",
    "/boards/{board_id:uuid}/pauses": "a part",
    "/boards/{board_id:uuid}/chat/news": "a part",
    "/boards/{board_id:uuid}/tasks/{task_id:uuid}/conversation": "a part",
    "/boards/{board_id:uuid}/tasks/{task_id:uuid}/runs": "a part",
}
"""Other GET routes, and why they are not pages."""


def list_addresses(*roots: str) -> list[str]:
    """Return the addresses of pages under the given root paths."""
    return [
        address
        for route, addresses in PAGES.items()
        if f"/{route.split('/')[1]}" in roots
        for address in addresses
    ]
