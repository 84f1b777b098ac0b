"""Evaluation and validation of approval policies, without a database."""

import os
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from confusable_homoglyphs.confusables import confusables_data
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from models import (
    PolicyEffect,
    PolicyRule,
    PolicyVerdict,
    RiskLevel,
    Role,
    WeeklyWindow,
    new_id,
)
from services.approval_actions import (
    MAX_NAMED_CHARACTERS,
    build_confusable_skeleton,
    join_words,
    list_unusual_characters,
    normalize_kind,
    read_kind,
)
from services.policies.presets import PRESETS
from services.policies.rules import (
    MAX_RULES,
    MAX_VALUES,
    PolicyRuleFields,
    RequestFacts,
    RuleSet,
    check_rules,
    may_decide,
    parse_risk,
)

AGENT, TAG = new_id(), new_id()
WEDNESDAY_NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
FACTS = RequestFacts(
    kind=("deploy", "site"),
    skeleton=build_confusable_skeleton("deploy.site"),
    agent_id=AGENT,
    risk=RiskLevel.HIGH,
    confidence=80,
    tag_ids=frozenset({TAG}),
    requested_at=WEDNESDAY_NOON,
)


def with_kind(kind: str, **fields: Any) -> RequestFacts:
    words, skeleton = read_kind(kind)
    return replace(FACTS, kind=words, skeleton=skeleton, **fields)


def make_rule(effect: PolicyEffect = PolicyEffect.DENY, **fields: Any) -> PolicyRule:
    given: dict[str, Any] = {"id": new_id(), "name": "Rule", "effect": effect, **fields}
    return PolicyRule(**given)


def test_without_a_matching_rule_one_person_is_asked() -> None:
    assert RuleSet([]).evaluate(FACTS) == PolicyVerdict(effect=PolicyEffect.ASK_ONE)
    assert RuleSet([make_rule(kinds=["email.send"])]).evaluate(FACTS).rule_name is None


def test_the_first_enabled_rule_that_matches_applies() -> None:
    rules = [
        make_rule(is_enabled=False),
        make_rule(kinds=["email.*"]),
        make_rule(PolicyEffect.ASK_TWO, name="Second"),
        make_rule(),
    ]
    verdict = RuleSet(rules).evaluate(FACTS)
    assert (verdict.effect, verdict.rule_name) == (PolicyEffect.ASK_TWO, "Second")


@pytest.mark.parametrize(
    ("condition", "is_match"),
    [
        ({"kinds": ["deploy.site"]}, True),
        ({"kinds": ["email.*", "deploy.*"]}, True),
        ({"kinds": ["*"]}, True),
        ({"kinds": ["deploy"]}, False),
        ({"kinds": ["Deploy_Site"]}, True),
        ({"kinds": ["deploySite"]}, True),
        ({"kinds": ["dep*"]}, True),
        ({"agent_ids": [AGENT]}, True),
        ({"agent_ids": [new_id()]}, False),
        ({"risk_at_least": RiskLevel.HIGH}, True),
        ({"risk_at_least": RiskLevel.CRITICAL}, False),
        ({"risk_at_most": RiskLevel.HIGH}, True),
        ({"risk_at_most": RiskLevel.MEDIUM}, False),
        ({"confidence_below": 80.5}, True),
        ({"confidence_below": 80}, False),
        ({"tag_ids": [new_id(), TAG]}, True),
        ({"tag_ids": [new_id()]}, False),
        ({"kinds": ["deploy.*"], "agent_ids": [new_id()]}, False),
    ],
)
def test_all_conditions_must_hold(condition: dict[str, Any], is_match: bool) -> None:
    is_denied = RuleSet([make_rule(**condition)]).evaluate(FACTS).effect is PolicyEffect.DENY
    assert is_denied is is_match


@pytest.mark.parametrize("kind", ["deploy.site", "deploy_production", "deployproduction"])
def test_a_prefix_restricts_by_letters_and_allows_by_words(kind: str) -> None:
    rules = [make_rule(kinds=["deploy.*"]), make_rule(PolicyEffect.ALLOW)]
    facts = with_kind(kind, risk=RiskLevel.LOW)
    assert RuleSet(rules).evaluate(facts).effect is PolicyEffect.DENY
    allowed = RuleSet([make_rule(PolicyEffect.ALLOW, kinds=["deploy.*"])]).evaluate(facts)
    assert (allowed.effect is PolicyEffect.ALLOW) is (kind != "deployproduction")


@pytest.mark.parametrize(
    "kind", ["done", "task_done", "closeTask", "Move to done", "task.complete"]
)
def test_no_synonym_of_completing_a_task_avoids_a_rule(kind: str) -> None:
    facts = with_kind(kind)
    for pattern in ("task.complete", "task.*", "mark_done"):
        assert RuleSet([make_rule(kinds=[pattern])]).evaluate(facts).effect is PolicyEffect.DENY


@pytest.mark.parametrize(
    "kind",
    [
        *("deploy\u200b.site", "de\u200bploy.site", "de\u00adploy", "\u202edeploy", "de.ploy"),
        *("dePloy.site", "DEPLOYSite", "\uff44\uff45\uff50\uff4c\uff4f\uff59.site", "d-eploy site"),
    ],
)
def test_no_disguise_avoids_a_rule(kind: str) -> None:
    facts = with_kind(kind)
    assert RuleSet([make_rule(kinds=["deploy.*"])]).evaluate(facts).effect is PolicyEffect.DENY


LOOKALIKES_OF = {
    letter: [letter, letter.upper()]
    + [one["c"] for one in confusables_data[letter] if len(one["c"]) == 1]
    for letter in "acdehiloprstuwxyz"
}
LOOKALIKES = [
    *("d\u0435l\u0435te.user", "\u0501elete_user"),  # Cyrillic
    *("deIete.user", "de1eteUser", "DE\u04c0ETE.USER", "delet\u212e", "de|ete.user"),
    *("d\u00e9lete.user", "delete\u0301.user", "\u1e0delete_user", "delet\u1eb9"),  # accents
]


@pytest.mark.parametrize("kind", LOOKALIKES)
def test_letters_that_look_alike_avoid_no_rule(kind: str) -> None:
    facts = with_kind(kind)
    for effect in (PolicyEffect.DENY, PolicyEffect.ASK_ONE, PolicyEffect.ASK_TWO):
        for pattern in ("delete.*", "delete*"):
            verdict = RuleSet([make_rule(effect, kinds=[pattern])]).evaluate(facts)
            assert (verdict.effect, verdict.rule_name) == (effect, "Rule")
    allowed = RuleSet([make_rule(PolicyEffect.ALLOW, kinds=["delete.*"])]).evaluate(facts)
    assert allowed.effect is PolicyEffect.ASK_ONE


@pytest.mark.parametrize("kind", ["rernove.user", "rem\u03bfve.user", "REM0VE_USER"])
def test_an_exact_kind_is_compared_by_its_look_too(kind: str) -> None:
    assert RuleSet([make_rule(kinds=["remove.user"])]).evaluate(with_kind(kind)).effect is (
        PolicyEffect.DENY
    )
    other = with_kind("move.user")
    assert RuleSet([make_rule(kinds=["remove.user"])]).evaluate(other).rule_name is None


@pytest.mark.parametrize(
    ("kind", "letters"),
    [
        ("d\u0435l\u0435te.us\u0435r", ["\u0435"]),
        (
            "\u0440\u0430\u0443",
            ["\u0440", "\u0430", "\u0443"],
        ),  # every letter looks like one of pay
        ("\uff50\uff41\uff59", ["\uff50", "\uff41", "\uff59"]),
        ("delet\u212e", ["\u212e"]),
        ("delete.user", []),
        ("pr\u00fcfung", []),
        ("\u043e\u043f\u043b\u0430\u0442\u0430", []),  # a word that only Cyrillic can write
        ("\u0435" * 200, ["\u0435"]),
        ("", []),
    ],
)
def test_letters_that_look_like_ascii_are_unusual(kind: str, letters: list[str]) -> None:
    assert list_unusual_characters(kind) == letters


def test_at_most_ten_unusual_letters_are_named() -> None:
    letters = [chr(code) for code in range(0x1D400, 0x1D400 + 52)]
    assert list_unusual_characters("".join(letters)) == letters[:MAX_NAMED_CHARACTERS]


@given(st.text(st.sampled_from("abcdehilmnoprstuwxyz"), min_size=1, max_size=20), st.randoms())
def test_any_lookalikes_have_the_skeleton_of_the_letters(kind: str, random: Any) -> None:
    written = [random.choice(LOOKALIKES_OF.get(letter, letter)) for letter in kind]
    assert build_confusable_skeleton("".join(written)) == build_confusable_skeleton(kind)


@given(
    st.text(max_size=20) | st.text(st.sampled_from("aB.ΣςéΙ\u0307\u3164\u200d\ufdfa "), max_size=20)
)
def test_a_kind_is_joined_without_finding_its_words(kind: str) -> None:
    assert join_words(kind) == "".join(normalize_kind(kind))


@pytest.mark.parametrize(
    "kind", ["\u0393\u03a3_SITE", "\u0393\u03a3SITE", "\u03b3\u03c3.site", "\u03b3\u03c2 site"]
)
def test_the_form_of_a_sigma_avoids_no_rule(kind: str) -> None:
    [rule] = check_rules([make_rule(kinds=["\u0393\u03a3.*"])])
    facts = with_kind(kind)
    assert RuleSet([rule]).evaluate(facts).effect is PolicyEffect.DENY


def test_the_kinds_of_a_stored_policy_are_normalized_once(monkeypatch: pytest.MonkeyPatch) -> None:
    normalized: list[str] = []
    normalize = unicodedata.normalize

    def count(form: Any, text: str) -> str:
        normalized.append(text)
        return normalize(form, text)

    def load_rules() -> list[PolicyRule]:
        names = [[f"{n} is stored {kind}" for kind in range(MAX_VALUES)] for n in range(MAX_RULES)]
        return [PolicyRule.from_json(make_rule(kinds=kinds).to_json()) for kinds in names]

    monkeypatch.setattr(unicodedata, "normalize", count)
    for _ in range(10):
        assert RuleSet(load_rules()).evaluate(FACTS).rule_name is None
    assert len(normalized) <= 2 * MAX_RULES * MAX_VALUES  # the letters and the skeleton


def test_the_time_zones_of_rules_are_read_from_files_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    window = WeeklyWindow(time_zone="Europe/Vienna", ends_at=60)
    rules = [make_rule(time_window=window) for _ in range(MAX_RULES)]
    check_rules(rules)
    walks: list[Any] = []
    monkeypatch.setattr(os, "walk", lambda *place: walks.append(place) or iter(()))
    check_rules(rules)
    assert walks == []


def test_a_kind_with_foreign_letters_is_allowed_only_by_its_name() -> None:
    facts = with_kind("d\u0435ploy.site")  # a Cyrillic letter
    allow = PolicyEffect.ALLOW
    for kinds in ([], ["*"]):
        rule = make_rule(kinds=kinds, effect=allow)
        assert RuleSet([rule]).evaluate(facts).effect is PolicyEffect.ASK_ONE
    named = make_rule(kinds=["d\u0435ploy.*"], effect=allow)
    assert RuleSet([named]).evaluate(facts).effect is allow


@pytest.mark.parametrize("kind", ["deploy", "deploy_site", "deploySite", "payment send"])
def test_no_spelling_avoids_the_rules_of_a_preset(kind: str) -> None:
    facts = with_kind(kind, risk=RiskLevel.LOW, confidence=99)
    effects = {preset.key: RuleSet(preset.rules).evaluate(facts).effect for preset in PRESETS}
    assert effects["trust"] is PolicyEffect.ASK_ONE
    assert effects["two_people"] is PolicyEffect.ASK_TWO


@pytest.mark.parametrize(
    ("window", "is_match"),
    [
        ({"starts_at": 12 * 60, "ends_at": 13 * 60}, True),
        ({"starts_at": 11 * 60, "ends_at": 12 * 60}, False),
        ({"starts_at": 22 * 60, "ends_at": 13 * 60}, True),
        ({"starts_at": 22 * 60, "ends_at": 6 * 60}, False),
        ({"starts_at": 0, "ends_at": 0}, True),
        ({"starts_at": 12 * 60, "ends_at": 13 * 60, "weekdays": [2]}, True),
        ({"starts_at": 12 * 60, "ends_at": 13 * 60, "weekdays": [1, 3]}, False),
        ({"starts_at": 22 * 60, "ends_at": 13 * 60, "weekdays": [1]}, True),
        ({"starts_at": 22 * 60, "ends_at": 13 * 60, "weekdays": [2]}, False),
        ({"time_zone": "Asia/Tokyo", "starts_at": 21 * 60, "ends_at": 22 * 60}, True),
    ],
)
def test_a_window_can_end_on_the_next_day(window: dict[str, Any], is_match: bool) -> None:
    fields: dict[str, Any] = {"time_zone": "UTC", **window}
    rule = make_rule(time_window=WeeklyWindow(**fields))
    is_denied = RuleSet([rule]).evaluate(FACTS).effect is PolicyEffect.DENY
    assert is_denied is is_match


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (PolicyEffect.ALLOW, PolicyEffect.ASK_ONE),
        (PolicyEffect.ASK_TWO, PolicyEffect.ASK_TWO),
        (PolicyEffect.DENY, PolicyEffect.DENY),
    ],
)
def test_a_rule_that_cannot_be_evaluated_never_allows(
    effect: PolicyEffect, expected: PolicyEffect
) -> None:
    broken = make_rule(effect, time_window=WeeklyWindow(time_zone="Mars/Olympus"))
    later = make_rule(PolicyEffect.ALLOW)
    assert RuleSet([broken, later]).evaluate(FACTS).effect is expected


@pytest.mark.parametrize(
    ("payload", "risk"),
    [
        (None, RiskLevel.HIGH),
        ({}, RiskLevel.HIGH),
        ({"risk": " Low "}, RiskLevel.LOW),
        ({"risk_level": "critical"}, RiskLevel.CRITICAL),
        ({"risk": "none"}, RiskLevel.HIGH),
        ({"risk": ["low"]}, RiskLevel.HIGH),
        ({"risk": "low", "external": True}, RiskLevel.HIGH),
        ({"risk": "critical", "external": True}, RiskLevel.CRITICAL),
        ({"risk": "low", "external": False}, RiskLevel.LOW),
        ({"risk": "low", "risk_level": "critical"}, RiskLevel.CRITICAL),
        ({"risk": "low", "riskLevel": "severe"}, RiskLevel.HIGH),
        ({"risk": "low", "risk_level": None}, RiskLevel.LOW),
        ({"risk": "low", "external": "true"}, RiskLevel.HIGH),
        ({"risk": "low", "destructive": 1}, RiskLevel.HIGH),
        ({"risk": "low", "destructive": "false"}, RiskLevel.LOW),
    ],
)
def test_a_request_without_a_stated_risk_counts_as_high(
    payload: dict[str, Any] | None, risk: RiskLevel
) -> None:
    assert parse_risk(payload) is risk


def test_deciders_are_limited_by_role_and_by_name() -> None:
    user_id: UUID = new_id()
    assert may_decide(PolicyVerdict(), user_id, Role.MEMBER)
    admins = PolicyVerdict(decider_role=Role.ADMIN)
    assert not may_decide(admins, user_id, Role.MEMBER)
    assert may_decide(admins, user_id, Role.ADMIN)
    assert may_decide(admins, user_id, Role.OWNER)
    named = PolicyVerdict(decider_ids=[new_id()])
    assert not may_decide(named, user_id, Role.OWNER)
    assert may_decide(PolicyVerdict(decider_ids=[user_id]), user_id, Role.MEMBER)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"kinds": ["a*b"]}, "kind_invalid", "rules.1.kinds"),
        ({"kinds": [" "]}, "kind_invalid", "rules.1.kinds"),
        ({"kinds": ["deploy." + "\ufdfa" * 20]}, "kind_invalid", "rules.1.kinds"),
        (
            {"risk_at_least": RiskLevel.HIGH, "risk_at_most": RiskLevel.LOW},
            "risk_range_empty",
            "rules.1.risk_at_most",
        ),
        (
            {"effect": PolicyEffect.ASK_TWO, "decider_ids": [AGENT]},
            "two_deciders_required",
            "rules.1.decider_ids",
        ),
        (
            {"time_window": WeeklyWindow(time_zone="Mars")},
            "time_zone_unknown",
            "rules.1.time_window",
        ),
    ],
)
def test_an_invalid_rule_is_rejected_with_its_field(
    fields: dict[str, Any], code: str, field: str
) -> None:
    with pytest.raises(Invalid) as raised:
        check_rules([make_rule(), make_rule(**fields)])
    assert (raised.value.code, raised.value.field) == (code, field)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": " "},
        {"kinds": ["x" * 201]},
        {"kinds": ["x"] * 51},
        {"confidence_below": 0},
        {"confidence_below": float("nan")},
        {"expires_after": 59},
        {"time_window": {"time_zone": "UTC", "ends_at": 1440}},
        {"time_window": {"time_zone": "UTC", "weekdays": [7]}},
        {"unknown": 1},
    ],
)
def test_a_value_outside_of_its_limits_is_rejected(fields: dict[str, Any]) -> None:
    rule: dict[str, Any] = {"name": "Nightly", "effect": "deny"}
    PolicyRuleFields.parse(rule)
    with pytest.raises(Invalid):
        PolicyRuleFields.parse(rule | fields)


def test_a_policy_has_a_limited_number_of_rules_with_ids_of_their_own() -> None:
    rule = make_rule()
    with pytest.raises(Invalid) as raised:
        check_rules([rule, replace(rule, name="Other")])
    assert raised.value.code == "duplicate_rule"
    with pytest.raises(Invalid) as raised:
        check_rules([make_rule() for _ in range(MAX_RULES + 1)])
    assert raised.value.code == "too_many_rules"


def test_texts_are_normalized() -> None:
    fields = {"name": " Night ", "effect": "deny", "kinds": [" Deploy.* "]}
    [rule] = check_rules([PolicyRuleFields.parse(fields).to_rule()])
    assert (rule.name, rule.kinds) == ("Night", ("deploy.*",))


def test_a_rule_is_the_same_after_it_was_stored() -> None:
    rule = make_rule(
        PolicyEffect.ASK_TWO,
        kinds=("deploy.*",),
        agent_ids=(AGENT,),
        tag_ids=(TAG,),
        decider_ids=(new_id(), new_id()),
        risk_at_least=RiskLevel.LOW,
        risk_at_most=RiskLevel.HIGH,
        confidence_below=70,
        time_window=WeeklyWindow(time_zone="UTC", starts_at=60, ends_at=120, weekdays=(0, 6)),
        expires_after=3600,
        decider_role=Role.ADMIN,
        is_enabled=False,
    )
    assert PolicyRule.from_json(rule.to_json()) == rule
    assert PolicyRule.from_json(make_rule().to_json()).kinds == ()


def test_presets_are_valid() -> None:
    for preset in PRESETS:
        assert check_rules([replace(rule, id=new_id()) for rule in preset.rules])
