"""Approval policies: rules that answer, or restrict who answers, the requests of agents."""

from services.policies.commands import replace_policy
from services.policies.presets import PRESETS, PolicyPreset, build_preset_rules
from services.policies.queries import (
    PolicyDetail,
    ReferenceNames,
    evaluate_request,
    evaluate_requests,
    get_policy,
    list_named_members,
    list_named_tag_ids,
    load_reference_names,
)
from services.policies.rules import (
    MAX_EXPIRY,
    MAX_KIND_LENGTH,
    MAX_RULES,
    MAX_VALUES,
    MIN_EXPIRY,
    ROLE_RANK,
    check_rules,
    may_decide,
    parse_risk,
)
from services.policies.simulation import SimulatedRequest, SimulationResult, simulate_policy
