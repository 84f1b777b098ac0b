"""How the OpenAPI document says who may call."""

from api.auth import AGENT_TOKEN, Caller

SECURITY: dict[Caller, list[dict[str, list[str]]]] = {
    Caller.ANYONE: [],
    Caller.USER: [{"userToken": []}],
    Caller.AGENT: [{"agentToken": []}, {"agentBearer": []}],
    Caller.EITHER: [{"userToken": []}, {"agentToken": []}, {"agentBearer": []}],
}
SCHEMES = {
    "userToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A person's token: made in the settings, starts with mc_user_. Where people "
        "sign in through an OpenID provider, its signed tokens for this installation count too.",
    },
    "agentToken": {
        "type": "apiKey",
        "in": "header",
        "name": AGENT_TOKEN,
        "description": "An agent's token: starts with mc_agent_.",
    },
    "agentBearer": {
        "type": "http",
        "scheme": "bearer",
        "description": f"An agent's token, where {AGENT_TOKEN} is not sent.",
    },
}
