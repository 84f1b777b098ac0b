"""Read the tokens of a request to the API from its headers."""

from starlette.requests import HTTPConnection

AGENT_TOKEN_HEADER = "X-Agent-Token"  # noqa: S105 - the name of a header


def get_agent_token(connection: HTTPConnection) -> str:
    """Return the token in the header for agents, or an empty text."""
    return connection.headers.get(AGENT_TOKEN_HEADER, "").strip()


def get_bearer_token(connection: HTTPConnection) -> str:
    """Return the bearer token (RFC 6750), or an empty text."""
    scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
