"""What tool calls of coding agents do: commands of shells, paths, hosts, and what is stored."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import CodingClient, ToolAction
from services.tool_facts import ToolFacts, build_excerpt, hash_request, mask_secrets, read_facts
from services.tool_facts.inputs import MAX_EXCERPT
from services.tool_facts.paths import read_path
from tests.support.cpu_time import limit_cpu

PROJECT = "/home/dev/project"
HIDDEN: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "hidden_commands.json").read_text()
)
READS = (
    *("ls -la", "pwd", "cat src/a.py", "head -20 a.txt", "tail -n +5 a.txt", "wc -l *.py"),
    *("git status", "git log --oneline -5", "git diff HEAD~1", "git show HEAD", "git branch -a"),
    *(
        f"git -C {PROJECT} status",
        "grep -rn foo src",
        "rg foo",
        "find . -name '*.py'",
        "ls 2>/dev/null",
    ),
    *("cat a | sort | uniq -c", "cd src && ls", "echo $HOME; date", "sed -n '1,20p' a.py"),
    *("if [ -f a ]; then cat a; fi", "diff <(cat a) <(cat b)", "/bin/ls", "jq .name package.json"),
    *("git -C . log", "git remote", "ls .git", "cat .git/HEAD", "cd src && grep -n foo a"),
    *(f"cd {PROJECT} && git status", "awk '{print $1}' a", "for i in a b; do echo $i; done"),
    *("for f in *.py; do printf '%-9s|%%\\n' \"$f\"; done", "grep -r foo src/../lib", "zstdcat a"),
    *("COLUMNS=80 ls", "ag foo", "ack foo src", "git grep foo", "diff a b", "file -b a"),
    *("date +%s", "date -d 20200102", "printf '%s %d\\n' a 3", "cat a || exit 1"),
    *("cat <<EOF\nx\nEOF", "cat <<-EOF\n\tx\n\tEOF\nls", "cat <<'E' | head\n$(x)\nE\n"),
)


def read_command(command: str, cwd: str = PROJECT) -> ToolFacts:
    return read_facts(CodingClient.CLAUDE, "Bash", {"command": command}, cwd)


@pytest.mark.parametrize("command", READS)
def test_a_command_that_only_reads_the_project_is_a_plain_read(command) -> None:
    facts = read_command(command)
    assert facts.is_plain_read, facts


@pytest.mark.parametrize("effect", list(HIDDEN))
def test_what_a_command_hides_is_found_or_it_is_not_understood(effect) -> None:
    facts = {command: read_command(command) for command in HIDDEN[effect]}
    missed = [
        command
        for command, found in facts.items()
        if found.is_understood and effect not in found.actions
    ]
    assert missed == []
    assert not any(found.is_plain_read for found in facts.values())


def test_each_command_of_a_text_is_found() -> None:
    facts = read_command("time npm test 2>&1 | tee ../log && sh -c 'git push \"$(cat a)\"'")
    words = [one.words for one in facts.commands]
    assert [one[0] for one in words] == ["time", "npm", "tee", "sh", "cat", "git"]
    assert words[1] == ("npm", "test")
    assert facts.paths == ("~/log", "a")
    assert facts.doubt == "variable"


def test_a_message_in_a_here_document_is_an_argument() -> None:
    facts = read_command("git commit -m \"$(cat <<'EOF'\nFix $(rm -rf x)\nEOF\n)\"")
    assert [one.words for one in facts.commands] == [
        ("git", "commit", "-m", "Fix $(rm -rf x)"),
    ]
    assert facts.actions == {ToolAction.WRITE_INSIDE}
    assert facts.is_understood


PIECES = ("a", "b c", "'", '"', "\\", "$", "`", "#", ";", "&", "|", "~", "*", "{a,b}", "é", " ")


def run_shell(text: str) -> list[str]:
    """Return the arguments that bash gives to a program."""
    script = 'show() { [ $# = 0 ] || printf "%s\\0" "$@"; }\n' + text
    done = subprocess.run(
        ["/bin/bash", "--norc", "-c", script],
        capture_output=True,
        check=False,
        env={"PATH": "", "HOME": "/home/dev"},
        cwd="/",
    )
    return done.stdout.decode(errors="replace").split("\0")[:-1]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=5), min_size=1, max_size=3))
def test_words_are_those_that_bash_passes_to_the_program(parts) -> None:
    text = "show " + " ".join("".join(one) for one in parts)
    facts = read_command(text)
    if not facts.is_understood or len(facts.commands) != 1:
        return
    [command] = facts.commands
    is_plain = not any(character in text for character in "~*$")
    if is_plain and command.words[0] == "show":
        assert list(command.words[1:]) == run_shell(text), text


@settings(deadline=None, max_examples=150)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_quoted_text_is_one_word_or_not_understood(text) -> None:
    quoted = "'" + text.replace("'", "'\\''") + "'"
    facts = read_command(f"echo {quoted}")
    if facts.is_understood:
        [command] = facts.commands
        assert command.words[1].removeprefix("./") == text.removeprefix("./")


def build_hostile_commands(size: int) -> list[str]:
    """Return commands of the maximum length that are expensive to parse, to walk or to match."""
    units = ("(", "$(", "`", '"', "a|", "a&&", "<<E ", ">a ", "a=b ", "eval ", "sudo ", "$", "! ")
    starts = ("cat ", "sed 's/", "curl ", "echo token=", "find . -exec ", "[[ a =~ ", "ls;")
    repeated = [unit * (size // len(unit)) for unit in (*units, "[[ a =~ ", "bash -c ", "{a,")]
    return [*repeated, *(start + "a " * ((size - len(start)) // 2) for start in starts)]


@pytest.mark.parametrize("command", build_hostile_commands(10_000), ids=lambda one: one[:9])
def test_a_hostile_command_is_read_in_bounded_time(command) -> None:
    with limit_cpu():
        read_command(command).to_json()
        build_excerpt({"command": command})


@pytest.mark.parametrize(
    ("tool", "input"),
    [
        ("Bash", {"command": "cp " + "".join(f"/.a{n}*" for n in range(1_400))}),
        ("Grep", {"pattern": "x", "glob": ", " * 25_000}),
        ("Grep", {"pattern": "x", "glob": "{*.a," * 10_000}),
        ("Grep", {"pattern": "x", "glob": " ".join(f"*{n}" for n in range(9_000))}),
        ("Read", {"file_path": [f"*{n}" for n in range(9_000)]}),
    ],
    ids=["folders", "separators", "braces", "globs", "paths"],
)
def test_hostile_patterns_of_files_are_read_in_bounded_time(tool, input) -> None:
    with limit_cpu():
        facts = read_facts(CodingClient.CLAUDE, tool, input, PROJECT)
    assert not facts.is_understood


def test_a_command_that_is_too_long_needs_a_person() -> None:
    facts = read_command("ls " + "a" * 100_000)
    assert (facts.is_understood, facts.doubt) == (False, "too_long")


@pytest.mark.parametrize(
    ("path", "shown", "is_secret", "is_config"),
    [
        ("src/../a.py", "a.py", False, False),
        ("../a.py", "~/a.py", False, False),
        ("/etc/shadow", "/etc/shadow", True, False),
        ("~/.ssh/config", "~/.ssh/config", True, False),
        (".ENV.local", ".ENV.local", True, False),
        (".env.example", ".env.example", False, False),
        ("src/tokens.ts", "src/tokens.ts", False, False),
        ("a/.\u200benv", "a/.\u200benv", True, False),
        (".Claude/settings.json", ".Claude/settings.json", False, True),
        ("~/.config/opencode/x", "~/.config/opencode/x", False, True),
        ("/etc/codex/requirements.toml", "/etc/codex/requirements.toml", False, True),
    ],
)
def test_a_path_is_known_by_where_it_leads(path, shown, is_secret, is_config) -> None:
    facts = read_path(path, PROJECT, PROJECT)
    assert (facts.text, facts.is_secret, facts.is_client_config) == (shown, is_secret, is_config)
    assert facts.is_inside is not shown.startswith(("/", "~"))


@pytest.mark.parametrize("cwd", ["/", "/home/dev", "/etc/nginx", "relative", None])
def test_a_folder_of_the_system_is_no_project(cwd) -> None:
    assert ToolAction.READ_OUTSIDE in read_command("cat hosts", cwd).actions
    assert not read_command("cat hosts", cwd).is_plain_read


TOOL_CALLS: list[tuple[CodingClient, str, dict[str, Any], set[str], str | None]] = [
    (CodingClient.CLAUDE, "Read", {"file_path": f"{PROJECT}/a.py"}, {"read"}, None),
    (CodingClient.CLAUDE, "Read", {"file_path": f"{PROJECT}/.env"}, {"read", "read_secret"}, None),
    (CodingClient.CLAUDE, "Read", {"file_path": ".git/config"}, {"read", "read_secret"}, None),
    (CodingClient.CLAUDE, "Grep", {"pattern": ".env", "path": "src"}, {"read"}, None),
    (CodingClient.CLAUDE, "Grep", {"pattern": "x", "glob": ".env*"}, {"read", "read_secret"}, None),
    (CodingClient.CLAUDE, "Write", {"file_path": "/etc/x", "content": ""}, {"write_outside"}, None),
    (
        CodingClient.CLAUDE,
        "Edit",
        {"file_path": ".git/hooks/x"},
        {"write_inside", "write_git"},
        None,
    ),
    (CodingClient.CLAUDE, "Write", {"content": "x"}, set(), "input"),
    (CodingClient.CLAUDE, "Read", {"file_path": "a", "command": "rm"}, {"read"}, "input"),
    (
        CodingClient.CLAUDE,
        "WebFetch",
        {"url": "https://a.example/x", "prompt": ""},
        {"network"},
        None,
    ),
    (
        CodingClient.CLAUDE,
        "WebFetch",
        {"url": "https://a.example\\@b.example"},
        {"network"},
        "host",
    ),
    (CodingClient.CLAUDE, "mcp__mission-control__claim_task", {"id": "7"}, {"own_tool"}, None),
    (CodingClient.CLAUDE, "mcp__evil__claim_task", {"id": "7"}, {"other_tool"}, None),
    (CodingClient.CLAUDE, "mcp__mission-control__x__y", {}, {"other_tool"}, None),
    (CodingClient.CLAUDE, "Agent", {"prompt": "x", "isolation": "remote"}, {"other_tool"}, None),
    (CodingClient.CLAUDE, "R\u0435ad", {"file_path": "a"}, set(), "tool"),
    (CodingClient.CLAUDE, "Bash", {"command": ["rm"]}, set(), "input"),
    (CodingClient.CODEX, "Bash", {"command": "ls"}, {"read"}, None),
    (
        CodingClient.CODEX,
        "apply_patch",
        {"command": "*** Begin Patch\n*** Delete File: a\n*** Add File: ../b\n+x\n*** End Patch"},
        {"delete", "write_inside", "write_outside"},
        None,
    ),
    (CodingClient.CODEX, "apply_patch", {"command": "*** Rename File: a"}, set(), "input"),
    (
        CodingClient.CODEX,
        "apply_patch",
        {"command": "*** Begin Patch\n*** Add File: a\n+x\n  *** Delete File: ../b\n*** End Patch"},
        {"delete", "write_inside", "write_outside"},
        None,
    ),
    (
        CodingClient.CODEX,
        "apply_patch",
        {"command": "*** Begin Patch\n*** Update File: a\n*** End Patch", "workdir": "/etc"},
        {"write_inside"},
        "input",
    ),
    (
        CodingClient.CODEX,
        "apply_patch",
        {"command": "cd /etc && apply_patch <<E\n*** Begin Patch\n*** Update File: a\nE"},
        {"write_inside"},
        "input",
    ),
    (CodingClient.CLAUDE, "Write", {"file_path": "FILE:///etc/x"}, {"write_inside"}, "characters"),
    (
        CodingClient.CLAUDE,
        "Write",
        {"file_path": ".claude\\x"},
        {"write_inside", "write_client_config"},
        "characters",
    ),
    (CodingClient.CLAUDE, "Read", {"file_path": ".env "}, {"read", "read_secret"}, None),
    (CodingClient.CLAUDE, "Glob", {"pattern": "{/etc,x}/*"}, {"read"}, "pattern"),
    (CodingClient.CLAUDE, "Glob", {"pattern": "*", "path": {"a": "/etc"}}, {"read"}, "input"),
    (CodingClient.CLAUDE, "Grep", {"pattern": "x", "glob": "*.py"}, {"read"}, None),
    (CodingClient.CLAUDE, "Grep", {"pattern": "x", "glob": "*"}, {"read", "read_secret"}, None),
    (
        CodingClient.CLAUDE,
        "Grep",
        {"pattern": "x", "glob": "*.py, .env"},
        {"read", "read_secret"},
        None,
    ),
    (
        CodingClient.GEMINI,
        "read_many_files",
        {"paths": ["**/.e*"]},
        {"read", "read_secret"},
        None,
    ),
    (
        CodingClient.CLAUDE,
        "WebFetch",
        {"url": "https://a.example", "urls": ["https://b.example"]},
        {"network"},
        "input",
    ),
    (CodingClient.COPILOT, "bash", {"command": "ls", "description": "x"}, {"read"}, None),
    (CodingClient.COPILOT, "write_bash", {"input": "rm"}, {"other_tool"}, None),
    (CodingClient.COPILOT, "mission-control-claim_task", {}, {"own_tool"}, None),
    (CodingClient.OPENCODE, "read", {"filePath": "/etc/passwd"}, {"read_outside"}, None),
    (
        CodingClient.OPENCODE,
        "bash",
        {"command": "ls", "workdir": "/etc"},
        {"read_outside", "read"},
        None,
    ),
    (
        CodingClient.OPENCODE,
        "bash",
        {"command": "git status", "workdir": "src"},
        {"read", "run_code"},
        None,
    ),
    (CodingClient.OPENCODE, "mission-control_claim_task", {}, {"own_tool"}, None),
    (CodingClient.OPENCODE, "Bash", {"command": "ls"}, {"other_tool"}, None),
    (CodingClient.GEMINI, "run_shell_command", {"command": "ls"}, {"read"}, None),
    (CodingClient.GEMINI, "replace", {"file_path": "a", "old_string": ""}, {"write_inside"}, None),
    (CodingClient.GEMINI, "mcp_mission-control_claim_task", {}, {"own_tool"}, None),
    (CodingClient.GEMINI, "save_memory", {"fact": "x"}, {"other_tool"}, None),
]


@pytest.mark.parametrize(("client", "tool", "input", "actions", "doubt"), TOOL_CALLS)
def test_what_a_tool_of_a_client_does_is_known(client, tool, input, actions, doubt) -> None:
    facts = read_facts(client, tool, input, PROJECT)
    assert (facts.actions, facts.doubt) == (actions, doubt)


def test_stored_facts_are_short_equal_and_without_secrets() -> None:
    facts = read_command("cd src && cat a.py > ../x; curl https://a.example")
    assert ToolFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
    long = read_command("cat " + " ".join(f"file{number}" for number in range(90)))
    assert len(json.dumps(long.to_json())) < 3_000


@pytest.mark.parametrize(
    "command",
    [
        "mysql --password hunter2secret app",
        "mysql --password 'a hunter2secret'",
        "vault login -token hunter2secret",
        "curl -u me:hunter2secret https://a.example",
        "curl -H 'Authorization: Bearer hunter2secret' https://a.example",
    ],
)
def test_a_secret_in_an_argument_is_not_stored(command) -> None:
    facts = read_command(command)
    stored = facts.to_json()
    assert facts.commands[0].words[0] == command.split()[0]
    assert "hunter2secret" not in json.dumps(stored)
    assert ToolFacts.from_json(stored).is_cut


@pytest.mark.parametrize("command", ["grep -rn token src", "docker run -u 1000:1000 app"])
def test_a_word_that_is_no_secret_is_stored(command) -> None:
    facts = read_command(command)
    assert ToolFacts.from_json(facts.to_json()) == facts


@pytest.mark.parametrize(
    "text",
    [
        "curl -u me:hunter2secret https://a.example --password=hunter2secret",
        "https://me:hunter2secret@a.example/x",
        '{"api_key": "hunter2secret", "x": 1}',
        "Authorization: Bearer hunter2secret",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2secret\n-----END RSA PRIVATE KEY-----",
        "export DB_PASSWORD='hunter2secret'",
        "TOKEN=hunter2secret make",
    ],
)
def test_a_secret_is_not_in_what_is_stored(text) -> None:
    assert "hunter2secret" not in mask_secrets(text)


def test_an_excerpt_is_at_most_two_kilobytes() -> None:
    excerpt = build_excerpt({"content": "é" * 50_000, "file_path": "a"})
    assert MAX_EXCERPT - 2 <= len(excerpt.encode()) <= MAX_EXCERPT


def test_only_the_description_of_a_command_is_no_part_of_a_call() -> None:
    first, second = ({"command": "ls", "description": text} for text in ("List", "Look"))
    assert hash_request("Bash", first, PROJECT) == hash_request("Bash", second, PROJECT)
    assert hash_request("Bash", first, PROJECT) != hash_request("Bash", first, "/other")
    issue, other = ({"title": "x", "description": text} for text in ("a", "b"))
    tool = "mcp__github__create_issue"
    assert hash_request(tool, issue, PROJECT) != hash_request(tool, other, PROJECT)


def test_bash_is_there_to_compare_with() -> None:
    assert os.access("/bin/bash", os.X_OK)
