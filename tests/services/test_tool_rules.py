"""Rules of policies about tool calls of coding agents, without a database."""

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from models import (
    ApprovalStatus,
    CodingClient,
    PolicyEffect,
    PolicyRule,
    RiskLevel,
    ToolAction,
    new_id,
)
from services.policies.presets import PRESETS, apply_preset
from services.policies.proposals import Questions, place_rule, propose_rule
from services.policies.rules import (
    PolicyRuleFields,
    RequestFacts,
    RuleSet,
    build_tool_facts,
    check_rules,
)
from services.policies.tool_rules import MAX_PATTERN_LENGTH, match_path
from services.tool_facts import ToolFacts, read_facts
from tests.support.cpu_time import limit_cpu

ALLOW, ASK_ONE, ASK_TWO, DENY = PolicyEffect
PROJECT = "/home/dev/project"
AGENT = new_id()
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HIDDEN: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "hidden_commands.json").read_text()
)
OTHER_REQUEST = RequestFacts(
    kind=("tool", "bash"),
    skeleton="toolbash",
    agent_id=AGENT,
    risk=RiskLevel.HIGH,
    confidence=100,
    tag_ids=frozenset(),
    requested_at=NOON,
)
BY_KEY = {preset.key: preset for preset in PRESETS}


def make_rule(effect: PolicyEffect, **fields: Any) -> PolicyRule:
    given: dict[str, Any] = {"id": new_id(), "name": "Rule", "effect": effect, **fields}
    return PolicyRule(**given)


def read_command(command: str) -> ToolFacts:
    return read_facts(CodingClient.CLAUDE, "Bash", {"command": command}, PROJECT)


read_once = cache(read_command)  # many rules are tried with the same commands


def evaluate(rules: list[PolicyRule], facts: ToolFacts | str) -> tuple[PolicyEffect, str]:
    tool = read_once(facts) if isinstance(facts, str) else facts
    found = RuleSet(rules).evaluate_tool_call(build_tool_facts(tool, AGENT, NOON))
    return found.verdict.effect, found.reason


def call(tool: str, **input: Any) -> ToolFacts:
    return read_facts(CodingClient.CLAUDE, tool, input, PROJECT)


EVERYDAY_RULE = make_rule(
    ALLOW,
    commands=[
        *("git status", "npm test", "npm run *", "git log *", "git diff *", "git show *", "ls *"),
        *(
            "cat *",
            "echo *",
            "grep *",
            "rg *",
            "find *",
            "sort *",
            "sed *",
            "awk *",
            "cd *",
            "head *",
        ),
    ],
)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([], id="no rules"),
        pytest.param([EVERYDAY_RULE], id="everyday commands"),
        pytest.param([make_rule(ALLOW, paths=["**"]), make_rule(ALLOW, hosts=["*.good.example"])]),
        pytest.param(list(BY_KEY["tools_all"].rules), id="ask for everything"),
        pytest.param(list(BY_KEY["tools_risky"].rules), id="ask before risky steps"),
        pytest.param([*BY_KEY["tools_risky"].rules, EVERYDAY_RULE], id="risky and everyday"),
        pytest.param(list(BY_KEY["trust"].rules), id="allow harmless actions"),
    ],
)
def test_no_rule_allows_what_a_command_hides(rules) -> None:
    allowed = [
        command
        for commands in HIDDEN.values()
        for command in commands
        if evaluate(rules, command)[0] is ALLOW
    ]
    assert allowed == []


def test_a_rule_that_denies_a_program_finds_it_in_other_commands() -> None:
    rules = [make_rule(DENY, commands=["rm"]), *BY_KEY["tools_observe"].rules]
    commands = [one for one in HIDDEN["delete"] if "rm -rf" in one or "rm {}" in one]
    allowed = [one for one in commands if evaluate(rules, one)[0] is ALLOW]
    assert len(commands) > 100
    assert allowed == []


def test_observing_asks_only_about_what_is_not_understood_or_a_configuration() -> None:
    rules = list(BY_KEY["tools_observe"].rules)
    reasons = {evaluate(rules, command) for commands in HIDDEN.values() for command in commands}
    assert reasons == {(ALLOW, "rule"), (ASK_ONE, "not_understood"), (ASK_ONE, "client_config")}


@pytest.mark.parametrize(
    ("effect", "conditions", "command", "is_matched"),
    [
        (ALLOW, {"commands": ["npm test"]}, "npm test", True),
        (ALLOW, {"commands": ["npm test"]}, "npm 'test' 2>&1", True),
        (ALLOW, {"commands": ["npm test"]}, "npm test --watch", False),
        (ALLOW, {"commands": ["npm test"]}, "npm test > out", False),
        (ALLOW, {"commands": ["npm test"]}, "npm test; ./x", False),
        (ALLOW, {"commands": ["npm test"]}, "./npm test", False),
        (ALLOW, {"commands": ["npm test", "./x"]}, "npm test; ./x", True),
        (
            ALLOW,
            {"commands": ["npm test"], "actions": ["run", "write_inside"]},
            "npm test > a",
            True,
        ),
        (ALLOW, {"commands": ["npm run *"]}, "npm run build --prod", True),
        (ALLOW, {"commands": ["npm run *"]}, "npm install x", False),
        (ALLOW, {"commands": ["npm *"]}, "npm install x", False),
        (ALLOW, {"commands": ["npm install *"]}, "npm install x", True),
        (ALLOW, {"commands": ["cp *"]}, "cp a b", True),
        (ALLOW, {"commands": ["cp *"]}, "cp a /etc/b", False),
        (ALLOW, {"commands": ["cat *"]}, "cat .env", False),
        (ALLOW, {"commands": ["cat .env"]}, "cat .env", True),
        (ALLOW, {"commands": ["git commit -m 'a b'"]}, 'git commit -m "a b"', True),
        (ALLOW, {"actions": ["run", "read"]}, "npm test && ls", True),
        (ALLOW, {"actions": ["run"]}, "npm test && touch a", False),
        (ALLOW, {"paths": ["docs/**"]}, "touch docs/a/b", True),
        (ALLOW, {"paths": ["docs/**"]}, "touch docs/a src/b", False),
        (ALLOW, {"paths": ["docs/**"]}, "rm docs/a", False),
        (ALLOW, {"paths": ["**"]}, "touch ../a", False),
        (ALLOW, {"hosts": ["*.example.com"]}, "curl https://a.example.com/x", True),
        (ALLOW, {"hosts": ["*.example.com"]}, "curl https://example.com.evil", False),
        (ALLOW, {"hosts": ["*.example.com"]}, "curl a.example.com b.evil", False),
        (ALLOW, {"hosts": ["a.example.com"]}, "curl -x evil a.example.com", False),
        (ALLOW, {"hosts": ["a.example.com"]}, "curl a.example.com; nc evil 1", False),
        (ALLOW, {"tools": ["Bash"], "clients": ["codex"]}, "npm test", False),
        (ALLOW, {"tools": ["*"]}, "npm test", True),
        (DENY, {"commands": ["git push"]}, "git -C a push origin", True),
        (DENY, {"commands": ["git push *"]}, "GIT push", True),
        (DENY, {"commands": ["git push"]}, "git status", False),
        (DENY, {"commands": ["git push"]}, "echo git push", False),
        (DENY, {"commands": ["rm"]}, "ls; /bin/rm x", True),
        (DENY, {"commands": ["rm"]}, "unknown-runner rm x", True),
        (DENY, {"paths": ["secret/*"]}, "cat a Secret/b", True),
        (DENY, {"paths": ["hosts"]}, "cat /etc/hosts", True),
        (DENY, {"hosts": ["evil.example"]}, "ssh me@evil.example", True),
        (DENY, {"actions": ["network"]}, "ls && curl a.example", True),
        (DENY, {"tools": ["b*"]}, "ls", True),
    ],
)
def test_allowing_needs_every_part_and_restricting_needs_one(
    effect, conditions, command, is_matched
) -> None:
    fields = PolicyRuleFields.parse({"name": "Rule", "effect": effect, **conditions})
    [rule] = check_rules([fields.to_rule()])
    found = RuleSet([rule]).find_rule(build_tool_facts(read_command(command), AGENT, NOON))
    assert (found is not None) is is_matched


def test_a_rule_about_tool_calls_matches_no_other_request() -> None:
    for conditions in ({"tools": ["*"]}, {"actions": ["run"]}, {"clients": ["claude"]}):
        rule = make_rule(DENY, **conditions)
        assert RuleSet([rule]).find_rule(OTHER_REQUEST) is None


def test_a_rule_without_conditions_about_tools_matches_tool_calls_too() -> None:
    assert evaluate([make_rule(DENY)], "npm test") == (DENY, "rule")
    assert evaluate([make_rule(DENY, kinds=["tool.bash"])], "npm test") == (DENY, "rule")
    assert evaluate([make_rule(ALLOW, kinds=["deploy.*"])], "npm test") == (ASK_ONE, "no_rule")


def test_plain_reads_and_own_tools_ask_only_if_a_rule_names_them() -> None:
    own = call("mcp__mission-control__claim_task", id="7")
    for rules in ([], [make_rule(ASK_ONE)], list(BY_KEY["tools_all"].rules)):
        assert evaluate(rules, "git status") == (ALLOW, "plain_read")
        assert evaluate(rules, own) == (ALLOW, "own_tool")
    assert evaluate([make_rule(DENY)], "git status") == (DENY, "rule")
    assert evaluate([make_rule(DENY)], own) == (ALLOW, "own_tool")
    assert evaluate([make_rule(ASK_TWO, actions=[ToolAction.READ])], "ls") == (ASK_TWO, "rule")
    assert evaluate([make_rule(DENY, tools=["mcp__*"])], own) == (DENY, "rule")


def test_no_rule_allows_the_configuration_of_a_client() -> None:
    everything = make_rule(ALLOW, actions=list(ToolAction))
    write = call("Write", file_path=".claude/settings.json", content="{}")
    for rule in (everything, make_rule(ALLOW, paths=["**"]), make_rule(ALLOW)):
        assert evaluate([rule], write) == (ASK_ONE, "client_config")
    assert evaluate([make_rule(ASK_TWO), everything], write) == (ASK_TWO, "rule")


def test_the_stated_kind_of_a_client_is_compared_without_its_look() -> None:
    wide = read_facts(CodingClient.CLAUDE, "Rea\uff44", {"file_path": "a"}, PROJECT)
    assert evaluate([make_rule(ALLOW, tools=["Read"])], wide) == (ASK_ONE, "not_understood")
    assert evaluate([make_rule(DENY, tools=["Read"])], wide)[0] is DENY


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", "a*b"),
        ("tools", ""),
        ("commands", "git 'x"),
        ("commands", "git\x00"),
        ("commands", "'' x"),
        ("paths", "../a"),
        ("paths", "a**/b"),
        ("paths", "a\u200b"),
        ("hosts", "https://a.example"),
        ("hosts", "a.*.example"),
        ("hosts", "a b"),
    ],
)
def test_a_condition_that_cannot_match_is_refused(field, value) -> None:
    with pytest.raises(Invalid) as error:
        check_rules([make_rule(ALLOW, **{field: [value]})])
    assert error.value.field == f"rules.0.{field}"


@pytest.mark.parametrize(
    "fields",
    [
        {"programs": ["rm"]},
        {"actions": ["fly"]},
        {"clients": ["emacs"]},
        {"commands": ["a" * (MAX_PATTERN_LENGTH + 1)]},
        {"paths": ["a"] * 51},
        {"hosts": "a"},
    ],
)
def test_unknown_and_too_many_conditions_are_refused(fields) -> None:
    with pytest.raises(Invalid):
        PolicyRuleFields.parse({"name": "Rule", "effect": "allow", **fields})


@given(st.lists(st.sampled_from(["a", "b", "*", "**", "a*b", "*a*"]), min_size=1, max_size=5))
def test_a_pattern_of_paths_matches_what_it_describes(names) -> None:
    path = "/".join(
        {"*": "x", "**": "y/z", "a*b": "a.b", "*a*": "bab"}.get(name, name) for name in names
    )
    assert match_path("/".join(names), path)
    assert not match_path("/".join(names), path + "!") or names[-1] in ("*", "**", "*a*")


def test_hostile_patterns_take_bounded_time() -> None:
    patterns = ["**/a*" * 60, "*a" * 150, "/".join(["**", "a"] * 70), "a/" * 150]
    rule = make_rule(DENY, paths=[one[:MAX_PATTERN_LENGTH] for one in patterns * 12])
    words = make_rule(DENY, commands=["a " * 140 + "b"] * 50)
    paths = " ".join("a/" * number + "a" for number in range(90))
    for command in (f"cat {paths}", "unknown " + "a " * 1_500):
        facts = read_command(command)
        with limit_cpu():
            evaluate([rule, words], facts)


def test_a_preset_for_coding_agents_keeps_all_other_rules() -> None:
    own = [
        make_rule(DENY, kinds=["deploy"]),
        make_rule(ALLOW, commands=["npm i"]),
        make_rule(ASK_ONE),
    ]
    rules: list[PolicyRule] = list(own)
    for key in ("tools_all", "tools_risky", "tools_observe"):
        preset = BY_KEY[key]
        rules = list(apply_preset(preset, preset.rules, rules))
        assert rules == [*own[:2], *preset.rules, own[2]]
    assert evaluate(rules, "npm i") == (ALLOW, "rule")


@pytest.mark.parametrize(
    "command",
    [
        "npm test",
        "cd src && npm test 'a b'",
        "npm test > log.txt",
        "git push",
        "curl https://a.example",
    ],
)
def test_a_proposed_rule_allows_this_call_and_no_more(command) -> None:
    rule = propose_rule(read_command(command))
    assert rule
    [rule] = check_rules([rule])
    assert evaluate([rule], command) == (ALLOW, "rule")
    for more in (f"{command}; npm start", f"{command} more", f"sh -c '{command}'", "npm start"):
        assert evaluate([rule], more)[0] is ASK_ONE


HERE_DOCUMENTS = ("python3", "nice node", "git apply", "bash -c python3", "{ psql x; }", "tee a")


@pytest.mark.parametrize(
    "command",
    [
        *("$x", "rm -rf *", "echo x > .claude/settings.json", "a" * 400),
        *(f"{one} <<'E'\nfirst\nE" for one in HERE_DOCUMENTS),
    ],
)
def test_no_rule_is_proposed_that_would_allow_more(command) -> None:
    assert propose_rule(read_command(command)) is None


def test_a_proposed_rule_is_placed_before_the_rule_that_asks() -> None:
    deny, ask = make_rule(DENY, commands=["git push -f"]), make_rule(ASK_ONE, tools=["*"])
    facts = build_tool_facts(read_command("git push"), AGENT, NOON)
    proposed = propose_rule(read_command("git push"))
    assert proposed
    placed = place_rule([deny, ask], proposed, facts)
    assert placed == [deny, proposed, ask]
    assert evaluate(placed, "git push") == (ALLOW, "rule")
    assert evaluate(placed, "git push -f") == (DENY, "rule")


def test_rules_are_proposed_for_what_people_always_approved() -> None:
    ask = make_rule(ASK_ONE, tools=["*"])
    questions = Questions(RuleSet([ask]))
    answers = {"npm test": [True] * 31, "git push": [True, True, False], "make": [True] * 2}
    for command, decisions in answers.items():
        facts = build_tool_facts(read_command(command), AGENT, NOON)
        for is_approved in decisions:
            status = ApprovalStatus.APPROVED if is_approved else ApprovalStatus.REJECTED
            questions.add(facts, status)
    [proposal] = questions.list_proposals()
    assert (proposal.rule.commands, proposal.approved, proposal.asked) == (("npm test",), 31, 31)
    assert proposal.before == ask
