"""Commands of a shell: everything that one executes, reads and writes.

The grammar is the one of bash. What it does not describe with certainty is a doubt, and a person is
asked: this is not an interpreter, so it must not be sure of something that a shell does otherwise.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import tree_sitter
import tree_sitter_bash
from tree_sitter import Node

from core.text import remove_invisible
from models import ToolAction
from services.tool_facts.effects import Effects
from services.tool_facts.facts import PLAIN_READS, Command
from services.tool_facts.inner_commands import find_inner_commands
from services.tool_facts.programs import read_program
from services.tool_facts.words import NUMBER_VARIABLES, SAFE_VARIABLES, Word, list_code_words

MAX_COMMAND_LENGTH = 10_000  # characters; a longer one is not parsed
MAX_DEPTH = 25  # levels of nodes and of commands in arguments
MAX_COMMANDS = 100
CHUNK_SIZE = 4_096  # bytes

_LANGUAGE = tree_sitter.Language(tree_sitter_bash.language())
_BARE_WORD = re.compile(r"(?:[A-Za-z0-9_./,:@%+=~*?\[\]!^#{}-]|[^\x00-\x7f]|\\[^\n])+")
_GLOB = re.compile(r"[*?\[]")
_BRACES = re.compile(r"[{}]")
_CONTINUED_WORD = re.compile(r"[^ \t\n]\\\n[^ \t\n]")
"""One word on two lines, which the grammar takes for two words."""
_HEREDOC_START = re.compile(r"(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\1")
_SAFE_EXPANSIONS = {"?": "0", "#": "0", "$": "1", "RANDOM": "1", "LINENO": "1"}
_VARIABLE = re.compile(r"\w+|[?#$@*!-]")
_HARMLESS_VARIABLE = re.compile(r"[a-z_][a-z0-9_]*|[0-9@*-]|OLDPWD|USER|PATH|SHELL|TMPDIR|HOSTNAME")
"""All others can contain passwords and tokens."""
_LOOP_VARIABLE = re.compile(
    r"(?!(?:(?:cd|f|module_)?path|prompt\d?|(?:dis_)?(?:aliases|functions)|[gs]aliases|commands|options"
    r"|dirstack|nameddirs|psvar|histchars)$)[a-z_][a-z0-9_]*|[A-Z]"
)
"""All others can have an effect, such as PS4, which a shell executes, and `path` of zsh."""
_SUBSCRIPT = re.compile(r"(?<!\\)(?:\\\\)*\$[#=+^~]*\w*\[")
"""An index of a variable, also in quotes: arithmetic in zsh."""
_BLOCKS = frozenset(
    (
        *("program", "list", "subshell", "compound_statement", "do_group", "if_statement"),
        *("elif_clause", "else_clause", "while_statement", "negated_command"),
    )
)
_TOKENS = frozenset(
    (
        *("&&", "||", ";", "&", "\n", "(", ")", "{", "}", "if", "then", "else", "elif", "fi"),
        *("while", "until", "do", "done", "|", "|&", "!", "in", "for"),
    )
)
_TEST_TOKENS = frozenset(("[", "]", "test_operator", "=", "==", "!=", "!", "(", ")"))
_OPAQUE = frozenset(("string", "raw_string", "heredoc_body", "word", "comment"))


@dataclass(frozen=True)
class _Input:
    """What a command reads from its standard input."""

    is_piped: bool = False
    text: str | None = None  # of a here-document or a here-string


def read_shell(
    text: str,
    effects: Effects,
    depth: int = 0,
    given: _Input = _Input(),
) -> None:
    """Add what a text executes, reads and writes to `effects`, and doubts if there may be more."""
    if len(text) > MAX_COMMAND_LENGTH:
        effects.doubt("too_long")
        return
    plain = text.replace("\n", "").replace("\t", "")
    if remove_invisible(plain) != plain:
        effects.doubt("characters")
    if _CONTINUED_WORD.search(text):
        effects.doubt("syntax")
    try:
        source = text.encode()
    except UnicodeEncodeError:
        effects.doubt("characters")
        return
    root = _parse(source, effects)
    if root is None:
        effects.doubt("too_complex")
        return
    if root.has_error or not _is_covered(root, source):
        effects.doubt("syntax")
    _ShellReader(source, effects, depth).read_block(root, given, depth)


def _parse(source: bytes, effects: Effects) -> Node | None:
    """Return the tree of a text, or None if this takes longer than is left for the whole call.

    The limits count steps of the parser and nodes, so that they do not depend on the machine.
    """

    def read(offset: int, _point: object) -> bytes:
        return source[offset : offset + CHUNK_SIZE]

    def stop(_offset: int, _has_error: bool) -> bool:
        effects.steps_left -= 1
        return effects.steps_left < 0

    try:
        tree = tree_sitter.Parser(_LANGUAGE).parse(read, progress_callback=stop)
    except ValueError:  # stopped
        return None
    effects.nodes_left -= tree.root_node.descendant_count
    return tree.root_node if effects.nodes_left >= 0 else None


def _is_covered(root: Node, source: bytes) -> bool:
    """Return whether there is only white space between the tokens of a tree."""
    end = 0
    for leaf in _iterate_leaves(root):
        if source[end : leaf.start_byte].replace(b"\\\n", b"").strip(b" \t\n"):
            return False
        end = max(end, leaf.end_byte)
    return not source[end:].replace(b"\\\n", b"").strip(b" \t\n")


def _iterate_leaves(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.child_count == 0 or node.type in _OPAQUE:
            yield node
        else:
            waiting.extend(reversed(node.children))


class _ShellReader:
    """Reads the tree of one text."""

    def __init__(self, source: bytes, effects: Effects, depth: int) -> None:
        self._source = source
        self._effects = effects
        self._depth = depth

    def read_block(self, node: Node, given: _Input, level: int) -> None:
        """Read the statements in a node."""
        for child in node.children:
            self._read_statement(child, given, level + 1)

    def _read_statement(self, node: Node, given: _Input, level: int) -> None:
        if level > MAX_DEPTH or len(self._effects.commands) >= MAX_COMMANDS:
            self._effects.doubt("too_complex")
            return
        kind = node.type
        readers: Mapping[str, Callable[[Node, _Input, int], None]] = {
            "pipeline": self._read_pipeline,
            "redirected_statement": self._read_redirected,
            "command": self._read_command,
            "for_statement": self._read_loop,
            "declaration_command": self._read_declaration,
            "test_command": self._read_test,
        }
        if kind in _TOKENS or kind == "comment":
            return
        if kind in _BLOCKS:
            self.read_block(node, given, level)
        elif kind in ("variable_assignment", "variable_assignments"):
            for one in [node] if kind == "variable_assignment" else node.named_children:
                self._read_assignment(one, level)
        elif kind in readers:
            readers[kind](node, given, level)
        else:
            self._effects.doubt("syntax")
            self._read_substitutions(node, level)

    def _read_pipeline(self, node: Node, given: _Input, level: int) -> None:
        is_first = True
        for child in node.children:
            if child.type in _TOKENS:
                continue
            self._read_statement(child, given if is_first else _Input(is_piped=True), level + 1)
            is_first = False

    def _read_redirected(self, node: Node, given: _Input, level: int) -> None:
        body = node.child_by_field_name("body")
        redirects = [child for child in node.children if body is None or child.id != body.id]
        if body is not None and body.type == "command":
            self._read_command(body, given, level, redirects)
            return
        with self._effects.own_part() as part:
            given, later = self._read_redirects(redirects, given, level)
        if body is not None:
            first, folders = len(self._effects.commands), self._effects.folders
            self._read_statement(body, given, level + 1)
            if self._effects.folders != folders:  # the redirection can be that of the last command
                with self._effects.own_part() as part:
                    self._read_redirects(redirects, given, level)
            self._effects.redirect_commands(first, part)
        for one in later:
            self._read_statement(one, _Input(is_piped=True), level + 1)

    def _read_loop(self, node: Node, given: _Input, level: int) -> None:
        """Read a loop over words. Where its variable is used, a value is unknown."""
        body = node.child_by_field_name("body")
        self._effects.has_variables = True
        self._check_separation(node)
        for child in node.children:
            if child.type in _TOKENS:
                continue
            if child.type == "variable_name":
                if not _LOOP_VARIABLE.fullmatch(self._text(child)):
                    self._effects.doubt("environment")
            elif body is not None and child.id == body.id:
                self._read_statement(child, given, level + 1)
            else:
                word = self._resolve(child, level)
                if word.is_pattern and word.text is not None:
                    self._effects.read(word.text, is_listed=True)

    def _check_separation(self, node: Node) -> None:
        """Doubt words without a space between them: the grammar splits some that are one."""
        end = -1
        for child in node.children:
            if child.type.endswith("redirect") or child.type in _TOKENS:
                end = -1
                continue
            if child.start_byte == end:
                self._effects.doubt("syntax")
            end = child.end_byte

    def _read_declaration(self, node: Node, _given: _Input, level: int) -> None:
        """Read `export`, `declare` and so on: harmless only for variables without an effect.

        Without variables they print all of them.
        """
        if not any(child.type == "variable_assignment" for child in node.children):
            self._effects.act(ToolAction.READ_SECRET)
        for child in node.children:
            if child.type == "variable_assignment":
                self._read_assignment(child, level)
            elif child.type != "export":
                self._effects.doubt("environment")
                self._read_substitutions(child, level)

    def _read_assignment(self, node: Node, level: int) -> None:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is None or name.type != "variable_name" or self._text(name) not in SAFE_VARIABLES:
            self._effects.doubt("environment")
        if value is not None:
            word = self._resolve(value, level)
            self._effects.has_variables = True
            if name is not None and self._text(name) in NUMBER_VARIABLES:
                self._effects.doubt_unless_number(word.text)

    def _read_test(self, node: Node, given: _Input, level: int) -> None:
        """Read `[ … ]`: harmless if it compares only words that are written out."""
        self._check_separation(node)
        for child in node.children:
            if child.type == "test_operator" and self._text(child) in ("-v", "-R"):
                self._effects.doubt("syntax")  # evaluates the index of an array
            elif child.named_children or child.type in ("word", "number", "raw_string", "string"):
                if child.type in ("unary_expression", "binary_expression"):
                    self._read_test(child, given, level + 1)
                else:
                    self._effects.check_test(self._resolve(child, level).text)
            elif child.type not in _TEST_TOKENS:  # such as `>`, which writes a file in `[ … ]`
                self._effects.doubt("syntax")

    def _read_command(
        self, node: Node, given: _Input, level: int, redirects: Iterable[Node] = ()
    ) -> None:
        words: list[Word] = []
        self._check_separation(node)
        inner = [child for child in node.children if child.type.endswith("redirect")]
        for child in node.children:
            if child.type == "variable_assignment":
                self._read_assignment(child, level)
            elif child.type == "command_name":
                words.append(self._resolve(child.children[0], level))
                if child.child_count != 1:
                    self._effects.doubt("syntax")
            elif child not in inner:
                words.append(self._resolve(child, level))
        with self._effects.own_part() as part:
            given, later = self._read_redirects([*inner, *redirects], given, level)
        first = len(self._effects.commands)
        read_words(words, given, self._effects, self._depth + 1)
        self._effects.redirect_commands(first, part)
        for one in later:
            self._read_statement(one, _Input(is_piped=True), level + 1)

    def _read_redirects(
        self, redirects: Iterable[Node], given: _Input, level: int
    ) -> tuple[_Input, list[Node]]:
        """Read redirections. Return the input, and the statements that stand after a `<<EOF`."""
        later: list[Node] = []
        for node in redirects:
            if node.type == "file_redirect":
                self._read_file_redirect(node, level)
                if self._text(node.children[0]).startswith("<"):
                    given = _Input(is_piped=True)
            elif node.type == "herestring_redirect":
                given = _Input(text=self._resolve(node.named_children[-1], level).text)
                given = given if given.text is not None else _Input(is_piped=True)
            elif node.type == "heredoc_redirect":
                given = self._read_heredoc(node, level, later)
            else:
                self._effects.doubt("syntax")
                self._read_substitutions(node, level)
        return given, later

    def _read_file_redirect(self, node: Node, level: int) -> None:
        tokens = [one for one in node.children if one.type != "file_descriptor"]
        operator, targets = self._text(tokens[0]), tokens[1:]
        if operator in (">&-", "<&-") and not targets:
            return
        for target in targets:
            word = self._resolve(target, level)
            if (
                operator in (">&", "<&")
                and word.text is not None
                and re.fullmatch(r"\d+-?|-", word.text)
            ):
                continue
            if word.text is None or word.is_pattern:
                self._effects.doubt("variable")
            elif operator in ("<", "<&"):
                self._effects.read(word.text)
            else:
                self._effects.write(word.text)
        if len(targets) != 1 or operator == "<>":
            self._effects.doubt("syntax")

    def _read_heredoc(self, node: Node, level: int, later: list[Node]) -> _Input:
        """Return a here-document as input. Raises no error: what is not certain is a doubt."""
        parts = {child.type: child for child in node.children}
        start, body = parts.get("heredoc_start"), parts.get("heredoc_body")
        end = parts.get("heredoc_end")
        for child in node.children:
            if child.type.startswith("heredoc_") or child.type in ("<<", "<<-"):
                continue
            if child.type in ("pipeline", "command", "list", "redirected_statement"):
                later.append(child)
            elif child.type == "file_redirect":
                self._read_file_redirect(child, level)
            elif child.type not in _TOKENS:
                self._effects.doubt("syntax")
        found = _HEREDOC_START.fullmatch(self._text(start)) if start else None
        text = self._text(body) if body else ""
        if (
            found is None
            or end is None
            or self._find_end_line(end, has_tabs="<<-" in parts) != found[2]
            or any(line.strip() == found[2] for line in text.split("\n"))
        ):
            self._effects.doubt("syntax")
        elif not found[1] and re.search(r"[$`\\]", text):
            self._read_expansions(body, text, level)
            return _Input(is_piped=True)
        return _Input(text=text)

    def _find_end_line(self, end: Node, *, has_tabs: bool) -> str:
        """Return the whole line of the end of a here-document, which the grammar may split."""
        word = self._text(end)
        start = end.start_byte + len(word) - len(word.lstrip("\n"))
        before, after = self._source[:start], self._source[start:]
        line = (before.rpartition(b"\n")[2] + after.partition(b"\n")[0]).decode(errors="replace")
        return line.lstrip("\t") if has_tabs else line

    def _read_expansions(self, body: Node | None, text: str, level: int) -> None:
        """Read the commands and the variables in a here-document."""
        if re.search(r"\\(\n|$)", text):  # joined with the next line, maybe to the end
            self._effects.doubt("syntax")
        if re.search(r"\$\(|\$\{|`", text) or _SUBSCRIPT.search(text):
            self._effects.doubt("variable")
        if body is not None:
            self._read_substitutions(body, level)
        for child in body.named_children if body is not None else ():
            if child.type == "simple_expansion":
                self._resolve_variable(child, level)

    def _read_substitutions(self, node: Node, level: int) -> None:
        """Read the commands in a node that is not understood otherwise."""
        waiting = [node]
        while waiting:
            one = waiting.pop()
            if one.type in ("command_substitution", "process_substitution", "command"):
                statements = [one] if one.type == "command" else one.children
                for statement in statements:
                    self._read_statement(statement, _Input(is_piped=True), level + 1)
            else:
                waiting.extend(one.children)

    def _resolve(self, node: Node, level: int) -> Word:
        """Return the word that a shell makes of a node, without a text if that is not known."""
        source = self._text(node)
        if level > MAX_DEPTH:
            self._effects.doubt("too_complex")
            return Word(None, source)
        resolvers: Mapping[str, Callable[[Node, int], Word]] = {
            "word": self._resolve_bare,
            "number": self._resolve_bare,
            "raw_string": lambda _node, _level: Word(_escape_home(source[1:-1]), source),
            "string": self._resolve_string,
            "concatenation": self._resolve_concatenation,
            "simple_expansion": self._resolve_variable,
            "expansion": self._resolve_variable,
            "command_substitution": self._resolve_substitution,
            "process_substitution": self._resolve_process,
        }
        if node.type in resolvers:
            return resolvers[node.type](node, level)
        if re.fullmatch(r"\$\(\([\d\s+*/%-]*\)\)", source):
            return Word("1", source)
        if node.type == "arithmetic_expansion":  # the values of variables are arithmetic too
            self._effects.doubt("variable")
        self._read_substitutions(node, level)
        return Word(None, source)

    def _resolve_concatenation(self, node: Node, level: int) -> Word:
        parts = [self._resolve(one, level + 1) for one in node.children]
        has_braces = any(one.source == "{}" for one in parts)
        is_pattern = any(one.is_pattern for one in parts)
        return Word(None if has_braces else _join(parts), self._text(node), is_pattern=is_pattern)

    def _resolve_process(self, node: Node, level: int) -> Word:
        """Read the commands in `<(…)` and `>(…)`, which are used as a file."""
        given = _Input(is_piped=self._text(node).startswith(">"))
        for child in node.children:
            if child.type not in ("<(", ">(", ")"):
                self._read_statement(child, given, level + 1)
        return Word("/dev/fd/63", self._text(node))

    def _resolve_bare(self, node: Node, _level: int) -> Word:
        source = self._text(node)
        if node.child_count:
            return Word(None, source)
        is_plain = _BARE_WORD.fullmatch(source) is not None
        unescaped = re.sub(r"\\(.)", "", source)
        if not is_plain or source.startswith(("=", "#", "~+", "~-")) or _BRACES.search(unescaped):
            return Word("{}", source) if source == "{}" else Word(None, source)
        if source.startswith("~") and not re.match(r"~(/|$)", source):
            return Word(None, source)  # the home folder of another user
        text = re.sub(r"\\(.)", r"\1", source)
        if source.startswith("\\"):
            text = _escape_home(text)
        return Word(text, source, is_pattern=_GLOB.search(unescaped) is not None)

    def _resolve_string(self, node: Node, level: int) -> Word:
        source = self._text(node)
        if _SUBSCRIPT.search(source):
            self._effects.doubt("variable")
        parts: list[Word] = []
        at = node.start_byte + 1
        for child in node.children:
            if child.type in ("string_content", '"'):
                continue
            parts.append(Word(self._unquote(self._slice(at, child.start_byte)), ""))
            parts.append(self._resolve(child, level + 1))
            at = child.end_byte
        parts.append(Word(self._unquote(self._slice(at, node.end_byte - 1)), ""))
        return Word(_join([part for part in parts if part.text != ""]) if parts else "", source)

    def _unquote(self, text: str) -> str | None:
        """Return a part between double quotes; None if it contains what is not recognized."""
        if re.search(r"(?<!\\)(?:\\\\)*[$`](?=[\w({@*#?!$'\"-])", text):
            return None
        return _escape_home(re.sub(r'\\([\\"$`\n])', lambda found: found[1].strip("\n"), text))

    def _resolve_variable(self, node: Node, level: int) -> Word:
        source = self._text(node)
        name = source.strip("${}")
        if self._source[node.end_byte : node.end_byte + 1] == b"[":  # arithmetic in zsh
            self._effects.doubt("variable")
        if source in (f"${name}", f"${{{name}}}") and _VARIABLE.fullmatch(name):
            if name == "HOME":
                return Word("~", source)
            if name == "PWD" and self._effects.folder is not None:
                return Word(self._effects.folder, source)
            if name in _SAFE_EXPANSIONS:
                return Word(_SAFE_EXPANSIONS[name], source)
            if not _HARMLESS_VARIABLE.fullmatch(name):
                self._effects.act(ToolAction.READ_SECRET)
        else:
            self._effects.doubt("variable")
            self._read_substitutions(node, level)
        return Word(None, source)

    def _resolve_substitution(self, node: Node, level: int) -> Word:
        """Read the commands in `$(…)`. Its text is known if it only repeats a here-document."""
        source = self._text(node)
        if source.startswith("`") and "\\" in source:  # what is escaped can be a command again
            self._effects.doubt("syntax")
        inner = node.named_children
        if len(inner) == 1 and inner[0].type == "redirected_statement":
            body = inner[0].child_by_field_name("body")
            [*redirects] = (one for one in inner[0].children if body and one.id != body.id)
            is_cat = body is not None and self._text(body) == "cat"
            if is_cat and [one.type for one in redirects] == ["heredoc_redirect"]:
                later: list[Node] = []
                given = self._read_heredoc(redirects[0], level, later)
                if given.text is not None and not later:
                    return Word(given.text.rstrip("\n"), source)
        for child in node.children:
            if child.type not in ("$(", ")", "`"):
                self._read_statement(child, _Input(), level + 1)
        return Word(None, source)

    def _text(self, node: Node) -> str:
        return self._slice(node.start_byte, node.end_byte)

    def _slice(self, start: int, end: int) -> str:
        return self._source[start:end].decode(errors="replace")  # a quote can be missing


def _join(parts: Sequence[Word]) -> str | None:
    """Return the text of adjacent parts. A home folder counts only at the beginning."""
    texts = [part.text for part in parts if part.text is not None]
    is_known = len(texts) == len(parts) and not any(one.startswith("~") for one in texts[1:])
    return "".join(texts) if is_known else None


def _escape_home(text: str) -> str:
    """Return a text that was quoted: a tilde is not a home folder in it."""
    return "./" + text if text.startswith("~") else text


def read_words(words: list[Word], given: _Input, effects: Effects, depth: int) -> None:
    """Add a command of words, and the commands that are in its arguments."""
    if depth > MAX_DEPTH:
        effects.doubt("too_complex")
        return
    if not words:
        return
    name = words[0].text
    if name is None or words[0].is_pattern or not name.isascii() or not name.strip():
        effects.doubt("program")
        effects.add(Command(tuple(one.shown for one in words), frozenset({ToolAction.RUN_CODE})))
        return
    inner = find_inner_commands(words, given.text, effects)
    used = inner.own if inner else words
    with effects.own_part() as part:
        program = read_program(
            used, effects, is_piped=given.is_piped, has_text=given.text is not None
        )
    if program is not None:
        if part.actions & {ToolAction.RUN, ToolAction.RUN_CODE}:
            effects.check_code(list_code_words((*program.words[1:], given.text or "")))
        actions = frozenset(part.actions)
        is_used = not inner and not actions <= PLAIN_READS
        program = replace(program, has_input=given.text is not None and is_used)
        effects.add(replace(program, actions=program.actions | actions))
    for one in inner.words if inner else ():
        read_words(one, given, effects, depth + 1)
    for text in inner.texts if inner else ():
        read_shell(text, effects, depth + 1, _Input() if text == given.text else given)
