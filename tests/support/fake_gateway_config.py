"""The config of a fake gateway: how a patch changes it, and what is rejected."""

from typing import Any

from tests.support.fake_gateway import ErrorResponse

Params = dict[str, Any]
HEARTBEAT_KEYS = {
    *("every", "target", "prompt", "model", "session", "activeHours", "timeoutSeconds"),
    *("lightContext", "isolatedSession", "to", "accountId", "directPolicy"),
}


def merge_patch(old: Any, patch: Any) -> Any:
    """Apply a merge patch of JSON (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    kept = old if isinstance(old, dict) else {}
    new = {**kept, **{name: merge_patch(kept.get(name), value) for name, value in patch.items()}}
    return {name: value for name, value in new.items() if value is not None}


def patch_of_list(patch: Params) -> Params:
    """Return a patch of the list of agents as one of the entries."""
    if "entries" in patch["agents"]:
        raise config_error("agents", 'Unrecognized key: "entries"')
    rows = patch["agents"]["list"]
    named = {row["id"]: {k: v for k, v in row.items() if k != "id"} for row in rows}
    return {"agents": {"entries": named}}


def validate_config(config: Params) -> None:
    """Reject config that gateways of this version reject."""
    unknown = set(config["agents"]) - {"entries", "defaults"}
    if unknown:
        raise config_error("agents", f'Unrecognized key: "{unknown.pop()}"')
    for key, entry in config["agents"]["entries"].items():
        strange = set(entry.get("heartbeat", {})) - HEARTBEAT_KEYS
        if strange:
            where = f"agents.entries.{key}.heartbeat"
            raise config_error(where, f'Unrecognized key: "{strange.pop()}"')


def config_error(path: str, message: str) -> ErrorResponse:
    issues = [{"path": path, "message": message}]
    return invalid_request(f"invalid config: {path}: {message}", details={"issues": issues})


def invalid_request(message: str, **more: Any) -> ErrorResponse:
    return ErrorResponse("INVALID_REQUEST", message, **more)
