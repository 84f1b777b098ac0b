"""Approval policies: rules that answer, or restrict who answers, the requests of agents."""

from services.policies.approvers import (
    IS_RESTRICTED,
    IS_UNDECIDED,
    first_vote_query,
    has_approved_first_query,
    is_content_changed,
    last_vote_query,
    load_first_approvers,
    may_approve_query,
    needs_other_approver,
    task_content_query,
)
from services.policies.commands import POLICY_CHANGE, PolicyChange, replace_policy
from services.policies.presets import PRESETS, apply_preset
from services.policies.proposals import Proposal, place_rule, propose_rule
from services.policies.queries import (
    PolicyDetail,
    ReferenceNames,
    evaluate_request,
    evaluate_requests,
    evaluate_tool_call,
    get_policy,
    list_named_members,
    list_named_tag_ids,
    load_reference_names,
    load_rules_of_boards,
)
from services.policies.rules import (
    EFFECT_DESCRIPTION,
    PolicyReplacement,
    PolicyRuleFields,
    RuleSet,
    build_tool_facts,
    check_rules,
    may_decide,
    parse_risk,
)
from services.policies.simulation import CallSimulation, SimulationResult, simulate_policy
from services.policies.tool_rules import ToolVerdict
