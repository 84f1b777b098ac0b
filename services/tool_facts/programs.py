"""Well-known programs: what a command with one does. Other programs may do anything."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise, takewhile
from urllib.parse import urlsplit

from models import CodingClient, ToolAction
from services.tool_facts.effects import NUMBER, Effects
from services.tool_facts.facts import Command
from services.tool_facts.git import read_git
from services.tool_facts.inner_commands import WRAPPERS
from services.tool_facts.paths import may_match_client_config, may_match_secret
from services.tool_facts.words import (
    SHELL_PROGRAMS,
    Word,
    find_name,
    is_long_option,
    is_option,
    list_operands,
    list_option_values,
)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INTERPRETERS = re.compile(
    r"(python|pypy|perl|ruby|php|lua)[0-9.]*|node|nodejs|deno|bun|luajit|Rscript|R|julia|tclsh|wish"
    r"|osascript|fish|csh|tcsh|pwsh|powershell|nu|elvish|xonsh|expect|groovy|scala|jshell|ghci|iex"
    r"|elixir|erl|sqlite3|psql|mysql|gdb|ed|ex|vi|vim|nvim|emacs|m4|bc|guile|racket"
)

_PRINTERS = frozenset(("echo", "printf"))
_PLAIN = _names(
    """
    : true false sleep pwd whoami id uname nproc which type whereis date seq tr basename
    dirname expr uptime exit return break continue wait groups tty locale getconf logname
    test [
    """
)
_WITH_NUMBERS = frozenset(("exit", "return", "break", "continue"))
_LISTERS = _names(
    """
    ls stat du df realpath readlink dir vdir lsattr getfacl
    """
)
_READERS = _names(
    """
    cat head tail nl wc cut paste rev tac fold column comm cmp diff md5sum md5
    sha1sum sha224sum sha256sum sha384sum sha512sum shasum b2sum cksum sum strings od hexdump
    base64 base32 zcat gzcat bzcat xzcat zstdcat file join expand unexpand fmt pr numfmt tsort
    jq iconv
    """
)
_UNPACKERS = _names(
    """
    zcat gzcat bzcat xzcat zstdcat
    """
)
_SEARCHERS = _names(
    """
    grep egrep fgrep zgrep rg ag ack
    """
)
_TOUCHERS = _names(
    """
    touch mkdir chmod chown chgrp truncate mkfifo mknod tee setfacl chattr
    """
)
_DELETERS = _names(
    """
    rm rmdir unlink shred trash trash-put rimraf del srm
    """
)
_COPIERS = _names(
    """
    cp mv ln install gcp gmv gln
    """
)
_NETWORK = _names(
    """
    nc ncat netcat telnet ssh scp sftp ftp tftp lftp rsync dig nslookup host ping ping6
    traceroute mtr nmap whois aria2c axel http https httpie xh socat openssl gh glab hub aws
    gcloud az gsutil kubectl helm oc docker podman nerdctl terraform tofu pulumi ansible
    ansible-playbook vercel netlify heroku fly flyctl doctl firebase wrangler supabase mail
    mailx sendmail mutt msmtp swaks rclone restic s3cmd mosh autossh sshfs mount.nfs smbclient
    curlie w3m lynx links elinks youtube-dl yt-dlp ngrok cloudflared tailscale wg openvpn nats
    mosquitto_pub redis-cli mongosh websocat wscat grpcurl svn hg cvs fossil bzr jj sl wget2
    mc minio
    """
)
_INSTALL_WORDS = _names(
    """
    i in ins inst insta instal isntall install install-test install-ci-test it cit ci add
    update upgrade up get require sync link ln uninstall remove rm rebuild rb dedupe create
    init exec x dlx audit reinstall localinstall groupinstall full-upgrade dist-upgrade import
    restore tool global -S -Sy -Syu -Syyu -U -i --install --sync bundle fetch pull
    """
)
_PACKAGE_MANAGERS = _names(
    """
    npm yarn pnpm bun pip pip3 pipx uv poetry pipenv pdm rye hatch conda mamba micromamba gem
    bundle bundler cargo rustup go composer nuget dotnet apt apt-get aptitude dpkg dnf yum rpm
    zypper apk pacman yay paru brew port snap flatpak nix nix-env guix choco winget scoop cpan
    cpanm luarocks opam stack cabal mix rebar3 hex pub dart flutter deno corepack nvm fnm
    volta asdf mise sdk pyenv rbenv easy_install vcpkg conan cocoapods pod carthage mas emerge
    xbps-install
    """
)
_RUNS_PACKAGES = _names(
    """
    npx bunx uvx pnpx dlx
    """
)
_DOUBTFUL = _names(
    """
    alias unalias trap hash enable shopt bind complete compgen compopt coproc function read
    mapfile readarray getopts let unset pushd popd dirs export declare typeset local readonly
    fc history caller logout suspend autoload zmodload setopt unsetopt emulate zle vared
    repeat select noglob nocorrect - bindkey functions disable
    """
)
_SECRET_COMMANDS = _names(
    """
    printenv security secret-tool pass gpg gpg2 op bw vault keyring age ssh-add ssh-keygen
    ssh-agent keychain aws-vault sops getent
    """
)


def read_program(
    words: Sequence[Word], effects: Effects, *, is_piped: bool = False, has_text: bool = False
) -> Command | None:
    """Add what a command does itself, and return it, unless it changes nothing."""
    name = find_name(words[0].shown)
    texts = tuple(one.shown for one in words[1:])
    if any(one.text is None for one in words[1:]) and not _prints_any(name, words[1:]):
        effects.doubt("variable")
    has_files = any(one.is_pattern for one in words[1:])
    if has_files:
        _check_patterns(name, words[1:], effects)
    command = Command((name, *texts), frozenset())
    if name == "cd":
        return _change_folder(command, effects)
    reader = _PROGRAMS.get(name)
    if reader is not None:
        reader(name, texts, effects)
        return command
    if _INTERPRETERS.fullmatch(name):
        _read_interpreter(name, texts, effects, is_piped=is_piped, has_text=has_text)
        return command
    if name in SHELL_PROGRAMS:
        scripts = list_operands(texts, with_values=False)
        if scripts:
            effects.act(ToolAction.RUN)
            _check_script(scripts[0], effects)
        return command
    if name in WRAPPERS:
        if name in ("sudo", "doas", "exec"):
            effects.act(ToolAction.RUN)
        return command
    return _read_unknown(command, effects)


_TEXT_FORMAT = re.compile(r"(?:[^%]|%%|%-?\d*(?:\.\d+)?[sbqc])*+")


def _prints_any(name: str, words: Sequence[Word]) -> bool:
    """Return whether a program only prints its words, whatever they are.

    `printf` has an option, and numbers are arithmetic in zsh.
    """
    texts = [one.text for one in words]
    return name in _PRINTERS and (name != "printf" or _prints_text(texts))


def _prints_text(texts: Sequence[str | None]) -> bool:
    """Return whether the format of `printf` has no numbers, and is known."""
    format = next((one for one in texts if one != "--"), "")
    return format is not None and _TEXT_FORMAT.fullmatch(format) is not None


def _read_unknown(command: Command, effects: Effects) -> Command:
    """Read a program that may do anything, or a well-known one where names have no case."""
    name, *texts = command.words
    if (reader := _PROGRAMS.get(name.lower())) is not None:
        reader(name.lower(), texts, effects)
    effects.act(ToolAction.RUN)
    return replace(command, is_known=False)


def _check_patterns(name: str, words: Iterable[Word], effects: Effects) -> None:
    """Add what is read or executed if a pattern of files matches what it could match."""
    for word in words:
        if not word.is_pattern or word.text is None:
            continue
        if word.text[:1] in ("*", "?", "[") and name not in _READERS | _LISTERS | _PRINTERS:
            effects.doubt("pattern")  # the name of a file can be an option
        if name in _PRINTERS:
            effects.read(word.text, is_listed=True)
        elif name not in _READERS | _LISTERS | _SEARCHERS and may_match_client_config(word.text):
            effects.act(ToolAction.WRITE_CLIENT_CONFIG)
        if any(re.fullmatch(r"\.[.*]*\*[.*]*", one) for one in word.text.split("/")):
            effects.doubt("pattern")  # the folder above
        last = word.text.rstrip("/").rpartition("/")[2]
        if name not in _LISTERS | _PRINTERS and may_match_secret(last):
            effects.act(ToolAction.READ_SECRET)
        if ".." in word.text or "[" in word.text or "?" in word.text:
            effects.doubt("pattern")


def _change_folder(command: Command, effects: Effects) -> Command | None:
    operands = [one for one in command.words[1:] if one not in ("--", "-P", "-L")]
    if len(operands) != 1 or operands[0].startswith("-") or re.search(r"[*?\[]", operands[0]):
        if operands:
            effects.doubt("folder")
        effects.change_folder("~")
        return command
    effects.change_folder(operands[0])
    is_same = operands[0] in (effects.folder, ".", f"{effects.folder}/")
    return None if is_same else command


def _read_nothing(name: str, texts: Sequence[str], effects: Effects) -> None:
    if name in ("test", "[") and any(one in ("-v", "-R") for one in texts):
        effects.doubt("variable")
    if name == "wait" and any(is_option(one, "p") for one in texts):
        effects.doubt("environment")
    for one in texts:
        if name in ("test", "["):
            effects.check_test(one)
        elif name in _WITH_NUMBERS:
            effects.doubt_unless_number(one)


def _print_format(_name: str, texts: Sequence[str], effects: Effects) -> None:
    """Read `printf`, whose numbers are arithmetic in zsh."""
    if texts and texts[0].startswith("-") and texts[0] != "--":  # as in `printf -vPATH evil`
        effects.doubt("environment")
    for one in texts[1:]:
        if re.search(r"\[.*[$`]", one):
            effects.doubt("syntax")
        if not _prints_text(texts) and not re.fullmatch(NUMBER, one):
            effects.has_names_as_numbers = True


def _show_date(_name: str, texts: Sequence[str], effects: Effects) -> None:
    if _sets_clock(texts):
        effects.act(ToolAction.RUN)
    if any(is_option(one, "fr", "--file", "--reference") for one in texts):
        effects.act(ToolAction.READ_OUTSIDE, ToolAction.READ_SECRET)


def _sets_clock(texts: Sequence[str]) -> bool:
    """Return whether `date` has a time as an operand, or in an option that sets the clock."""
    has_date = any(is_option(one, "d", "--date") for one in texts)  # whose value is only shown
    return any(
        is_option(one, "s", "--set") or (re.fullmatch(r"\d{8,12}(\.\d\d)?", one) and not has_date)
        for one in texts
    )


def _read_settings(_name: str, texts: Sequence[str], effects: Effects) -> None:
    """Read `set`: only options that make a script stricter are harmless."""
    if not texts:
        effects.act(ToolAction.READ_SECRET)
    elif any(not re.fullmatch(r"[-+][euxo]+|pipefail", one) for one in texts):
        effects.doubt("environment")


def _doubt(_name: str, _texts: Sequence[str], effects: Effects) -> None:
    effects.doubt("environment")


def _read_files(name: str, texts: Sequence[str], effects: Effects) -> None:
    writes = {"file": ("C", "--compile"), "iconv": ("o", "--output"), "base64": ("o", "--output")}
    if name in writes and any(is_option(one, *writes[name]) for one in texts):
        effects.act(ToolAction.RUN)
    if name == "jq" and re.search(r"env|\$ENV|import|include|input_file", " ".join(texts)):
        effects.act(ToolAction.READ_SECRET)
    if name in _READS_FILE and any(is_option(one, "f", *_READS_FILE[name]) for one in texts):
        effects.act(ToolAction.READ_SECRET)
    if name in _UNPACKERS and any(re.match("-.", one) for one in texts):
        effects.doubt("option")  # such as one that names a file with names of files, or the output
    for one in list_operands(texts):
        effects.read(one)
        if name == "strings" and one.startswith("@"):  # a file with options
            effects.read(one[1:])
    if name == "diff":
        _check_recursion(list_operands(texts), effects)
    effects.act(ToolAction.READ)


_READS_FILE = {"file": ("--files-from",), "jq": ("--from-file",), "hexdump": ()}
"""Programs that print or execute what is in a file that an option names."""


def _check_recursion(folders: Iterable[str], effects: Effects) -> None:
    """Add that secrets are read if one of the folders is the whole project."""
    if any(map(effects.contains_project, folders)):
        effects.act(ToolAction.READ_SECRET)


def _list_files(_name: str, texts: Sequence[str], effects: Effects) -> None:
    """Read a program that prints names. It prints the names in a file, and its other lines too."""
    reads = any(is_option(one, "", "--files0-from", "--fromfile", "--fromtabfile") for one in texts)
    for one in list_operands(texts):
        effects.read(one, is_listed=not reads)
    effects.act(ToolAction.READ)


def _search(name: str, texts: Sequence[str], effects: Effects) -> None:
    """Read `grep` and programs like it. In whole folders they find secrets too."""
    if name in ("rg", "ag", "ack") and any(
        is_option(one, "z", "--search-zip", "--pre", "--hostname-bin", "--pager", "--env")
        or (name == "ack" and is_option(one, "", "--output", "--ackrc"))
        for one in texts
    ):
        effects.act(ToolAction.RUN_CODE)
    has_pattern = any(is_option(one, "ef", "--regexp", "--file") for one in texts)
    operands = list_operands(texts)
    paths = operands if has_pattern else operands[1:] + list_option_values(texts)
    is_recursive = name == "ack" or (
        name not in ("rg", "ag")
        and any(
            is_option(one, "rRd", "--recursive", "--dereference-recursive", "--directories")
            for one in texts
        )
    )
    is_hidden = name in ("rg", "ag") and any(
        is_option(one, "u.", "--hidden", "--unrestricted") or one.startswith("--no-ig")
        for one in texts
    )
    if name == "ag":
        all_files = ("--all-types", "--all-text", "--skip-vcs-ignores")
        is_hidden |= any(is_option(one, "aUt", *all_files) for one in texts)
    if is_recursive and not _list_globs(texts):
        _check_recursion(paths or ["."], effects)
    if is_hidden or any(may_match_secret(one, finds_hidden=True) for one in _list_globs(texts)):
        effects.act(ToolAction.READ_SECRET)
    for one in paths:
        effects.read(one)
    effects.act(ToolAction.READ)


_GLOB_OPTION = re.compile(r"-g(.+)|--(?:i?glob|include)=(.+)")


def _list_globs(texts: Sequence[str]) -> list[str]:
    """Return the last names of the patterns of files in the options of `grep` and `rg`."""
    globs = [value for one, value in pairwise(texts) if one in ("-g", "--glob", "--iglob")]
    found = (_GLOB_OPTION.fullmatch(one) for one in texts)
    globs += [one[1] or one[2] for one in found if one]
    return [one.rstrip("/").rpartition("/")[2].lower() for one in globs if one[0] != "!"]


_FIND_WRITES = frozenset(("-fprint", "-fprint0", "-fprintf", "-fls"))
_FIND_READS = frozenset(("-samefile", "-files0-from"))


def _find_files(name: str, texts: Sequence[str], effects: Effects) -> None:
    folders = _list_start_folders(name, texts)
    for one in folders:
        effects.read(one, is_listed=True)
    for one in (folders or ["."]) if "-delete" in texts else ():
        effects.delete(one)
    for test, value in zip(texts, [*texts[1:], "?"], strict=False):
        if test in _FIND_WRITES:
            effects.write(value)
        elif test in _FIND_READS or re.fullmatch(r"-[ac]?newer\w*", test):
            effects.read(value, is_listed=test != "-files0-from")
    effects.act(ToolAction.READ)


def _list_start_folders(name: str, texts: Sequence[str]) -> list[str]:
    if name != "find":
        return list_operands(texts)
    folders = (one for one in texts if not re.fullmatch(r"--|-[HLP]|-O\d|-D", one))
    return list(takewhile(lambda one: not one.startswith(("-", "(", "!", ",")), folders))


def _write_files(name: str, texts: Sequence[str], effects: Effects) -> None:
    operands = list_operands(texts)
    if name in ("chmod", "chown", "chgrp", "setfacl", "chattr"):
        if not any(one.startswith("--ref") for one in texts):
            operands = operands[1:]
        operands += [one for one in texts if "/" in one and one.startswith("-")]
    for one in operands:
        effects.write(one)
    effects.act(ToolAction.WRITE_INSIDE)


def _delete_files(_name: str, texts: Sequence[str], effects: Effects) -> None:
    for one in list_operands(texts):
        effects.delete(one)
    effects.act(ToolAction.DELETE)


def _copy_files(name: str, texts: Sequence[str], effects: Effects) -> None:
    if any(is_long_option(one, "--strip-program") for one in texts):
        effects.act(ToolAction.RUN_CODE)
    operands = list_operands(texts, with_values=False)
    targets = _list_targets(name, texts, operands)
    if targets == operands[-1:]:
        operands = operands[:-1] or operands
    for one in operands:
        effects.read(one)
        _read_source(name, one, effects)
    has_contents = name in ("cp", "gcp") and (  # of a folder, also its hidden files
        any(is_option(one, "T", "--no-target-directory") for one in texts)
        or any(one.endswith("/") for one in operands)  # on macOS
    )
    write = effects.write_tree if has_contents else effects.write
    for one in targets:
        write(one)
        for source in operands:  # the target can be a folder
            effects.write(f"{one}/{source.rstrip('/').rpartition('/')[2]}")
    effects.act(ToolAction.READ, ToolAction.WRITE_INSIDE)


def _list_targets(name: str, texts: Sequence[str], operands: list[str]) -> list[str]:
    """Return where files are written: also the last operand, if an option may name a folder."""
    targets = list_option_values(texts)
    for one, value in zip(texts, [*texts[1:], "?"], strict=False):
        if is_long_option(one, "--target-directory") and "=" not in one:
            targets.append(value)
        elif re.fullmatch(r"-[^-].*", one) and "t" in one:
            targets.append(one.partition("t")[2] or value)
    if name == "install" and any(is_option(one, "d", "--directory") for one in texts):
        return targets + operands
    is_link = name in ("ln", "gln") and len(operands) == 1
    return targets + (["."] if is_link else operands[-1:] if len(operands) > 1 else [])


def _read_source(name: str, path: str, effects: Effects) -> None:
    """Add what else follows from a path that is copied, moved or linked to."""
    if name in ("mv", "gmv", "ln", "gln"):  # a link can be written through
        effects.write_tree(path)
    elif re.fullmatch(r"(.*/)?\.{1,2}/*", path):
        effects.doubt("folder")  # all that is in a folder, also hidden files


def _copy_blocks(_name: str, texts: Sequence[str], effects: Effects) -> None:
    for one in texts:
        key, _, value = one.partition("=")
        if key == "of":
            effects.write(value)
        elif key == "if":
            effects.read(value)
    effects.act(ToolAction.WRITE_INSIDE)


_SED = re.compile(
    r"(?:(?:\d+|\$|/[^/\\{}]{1,200}/)?(?:,(?:\d+|\$|/[^/\\{}]{1,200}/))?[pdq=]"
    r"|s/(?:[^/\\\n]|\\[^\n]){0,1000}/(?:[^/\\\n]|\\[^\n]){0,1000}/[gpiI0-9]{0,4}"
    r"|s([|#,@])(?:[^|#,@\\\n]|\\[^\n]){0,1000}\1(?:[^|#,@\\\n]|\\[^\n]){0,1000}\1[gpiI0-9]{0,4});?"
)


def _edit_stream(_name: str, texts: Sequence[str], effects: Effects) -> None:
    """Read `sed`. A script can execute and write, so that only simple ones are understood."""
    scripts, operands, writes = _parse_sed(texts)
    if not all(_SED.fullmatch(one.strip()) for one in scripts):
        effects.act(ToolAction.RUN_CODE)
    for one in operands:
        effects.read(one)
        if writes:
            effects.write(one)
    effects.act(ToolAction.READ)


def _parse_sed(texts: Sequence[str]) -> tuple[list[str], list[str], bool]:
    """Return the scripts of `sed`, its operands, and whether it changes them."""
    scripts: list[str] = []
    operands: list[str] = []
    writes, at = False, 0
    while at < len(texts):
        one = texts[at]
        at += 1
        if one in ("-e", "--expression"):
            scripts += texts[at : at + 1]
            at += 1
        elif re.fullmatch(r"-[nErsuz]*i[^efls/*]*|--in-place(=[^/*]*)?", one):
            writes = True
        elif not one.startswith("-"):
            operands.append(one)
        elif not re.fullmatch(r"--|-[nErsuz]+|--(quiet|silent|regexp-extended)", one):
            scripts.append("?")
    if not scripts:
        starts_empty = writes and operands[:1] == [""]  # sed -i '' on macOS
        operands = operands[starts_empty:]
        scripts, operands = operands[:1], operands[1:]
    return scripts, operands, writes


def _read_awk(_name: str, texts: Sequence[str], effects: Effects) -> None:
    operands = list_operands(texts, with_values=False)
    is_simple = all(re.fullmatch(r"-F.{0,3}", one) for one in texts if one.startswith("-"))
    program = operands[0] if operands else ""
    if "-F" in texts:
        is_simple = False
    if not is_simple or re.search(
        r"system|getline|close|ENVIRON|ARGV|SYMTAB|include|load|[|>@]", program
    ):
        effects.act(ToolAction.RUN_CODE)
    for one in operands[1:]:
        effects.read(one)
    effects.act(ToolAction.READ)


def _sort_lines(_name: str, texts: Sequence[str], effects: Effects) -> None:
    for at, one in enumerate(texts):
        if is_option(one, "o", "--output"):
            separator = "=" if one.startswith("--") else "o"
            following = texts[at + 1] if at + 1 < len(texts) else "?"
            effects.write(one.partition(separator)[2] or following)
        if is_option(one, "", "--compress-program"):
            effects.act(ToolAction.RUN_CODE)
        if is_option(one, "", "--files0-from"):  # names in a file, or in the output of a command
            effects.act(ToolAction.READ_OUTSIDE, ToolAction.READ_SECRET)
    for one in list_operands(texts):
        effects.read(one)
    effects.act(ToolAction.READ)


def _read_then_write(_name: str, texts: Sequence[str], effects: Effects) -> None:
    operands = [one for one in texts if one == "-" or not one.startswith("-")]
    for one in operands[:1]:
        effects.read(one)
    for one in operands[1:]:
        effects.write(one)
    effects.act(ToolAction.READ)


def _print_tree(_name: str, texts: Sequence[str], effects: Effects) -> None:
    if any(is_option(one, "oR", "--output") for one in texts):
        for one in list_operands(texts):
            effects.write(one)
        effects.act(ToolAction.WRITE_INSIDE)
    _list_files("tree", texts, effects)


def _use_network(name: str, texts: Sequence[str], effects: Effects) -> None:
    effects.connect()
    if any(one.startswith("--del") or one == "--remove-source-files" for one in texts):
        effects.act(ToolAction.DELETE)
    if name in ("docker", "podman", "nerdctl", "kubectl", "oc", "openssl", "gh", "ansible"):
        effects.act(ToolAction.RUN)
    if name in ("ssh", "mosh", "autossh", "socat", "nc", "ncat", "netcat"):
        effects.act(ToolAction.RUN_CODE)
    if name in ("rsync", "scp", "sftp") and not all(map(_COPY_OPTION.fullmatch, texts)):
        effects.act(ToolAction.RUN_CODE)  # such as -e, which names a program
    if name == "hub" and "push" in texts:
        effects.act(ToolAction.GIT_PUSH)
    for one in list_operands(texts):
        found = _HOST.match(one)
        if found:
            effects.connect(found[1].lower())
        if "/" in one or one.startswith(("~", ".")):
            effects.read(one)
            effects.write(one)


_COPY_OPTION = re.compile(
    r"[^-].*|-[46aCDghikLlnOPpqrtuvz]+|--(archive|checksum|compress|delete|dry-run|links|partial"
    r"|perms|progress|quiet|recursive|stats|times|update|verbose|(in|ex)clude=.*)"
)
_HOST = re.compile(
    r"(?:[a-z0-9+.-]+://)?(?:[^@/\s]{1,200}@)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?=[:/?#]|$)"
)
_CURL_OPTIONS: Mapping[str, re.Pattern[str]] = {
    "flag": re.compile(
        r"-[fsSLIkivgN#4601]+|--(fail|silent|show-error|location|head|insecure|include|verbose"
        r"|compressed|http1\.1|http2|no-buffer|progress-bar|fail-with-body|globoff|ipv4|ipv6)"
    ),
    "value": re.compile(
        r"-[fsSLIkiv]*[XHuAebm]|--(request|header|user|user-agent|referer|cookie|max-time"
        r"|connect-timeout|retry|retry-delay|max-redirs)"
    ),
    "data": re.compile(r"-[fsSLIkiv]*d|--data(-binary|-urlencode)?|--json|--url-query"),
    "form": re.compile(r"-[fsSLIkiv]*F|--form"),
    "text": re.compile(r"--data-raw"),
    "upload": re.compile(r"-[fsSLIkiv]*T|--upload-file"),
    "output": re.compile(r"-[fsSLIkiv]*o|--output"),
    "remote_name": re.compile(r"-[fsSLIkiv]*O|--remote-name"),
}
_WGET_OPTIONS: Mapping[str, re.Pattern[str]] = {
    "flag": re.compile(r"-q|--quiet|-nv|-S"),
    "output": re.compile(r"-q?O|--output-document"),
}


def _call_host(name: str, texts: Sequence[str], effects: Effects) -> None:
    """Read `curl` and `wget`. With an option that is not known, the host is not known either."""
    options = _CURL_OPTIONS if name == "curl" else _WGET_OPTIONS
    urls: list[str] = []
    found: list[str] = []
    waiting = iter(texts)
    for one in waiting:
        if not one.startswith("-"):
            urls.append(one)
            continue
        kind = next((kind for kind, names in options.items() if names.fullmatch(one)), "unknown")
        found.append(kind)
        if kind not in ("flag", "remote_name", "unknown"):
            _read_curl_value(kind, next(waiting, ""), effects)
    if "remote_name" in found or (name == "wget" and "output" not in found):
        effects.write(".")
    if "unknown" in found:
        effects.connect()
        effects.act(ToolAction.RUN)
        for one in list_option_values(texts):
            effects.write(one)
    for url in urls or ["?"]:
        if url.lower().startswith("file:"):
            effects.read(url[5:])
        effects.connect(read_host(url))


def _read_curl_value(kind: str, value: str, effects: Effects) -> None:
    if kind == "output":
        effects.write(value)
    elif kind == "upload":
        effects.read(value)
        if re.search(r"[{\[]", value):  # several files
            effects.doubt("pattern")
    elif kind == "value" and value.startswith("@"):
        effects.read(value[1:])
    elif kind == "data" and (found := re.match(r"[^=@]*@(.*)", value)):
        effects.read(found[1])
    elif kind == "form" and (found := re.search(r"=[@<](.*)", value)):
        for one in re.split(r"[;,]", found[1]):
            effects.read(one.strip('"'))


def read_host(url: str) -> str | None:
    """Return the host of an address, if every client reads the same one."""
    text = url if "://" in url else f"http://{url}"
    is_simple = re.fullmatch(
        r"(?i:https?|wss?|ftp)://[A-Za-z0-9.-]+(?::\d{1,5})?(?:[/?#][^\s\\]*)?", text
    )
    try:
        return urlsplit(text).hostname if is_simple else None
    except ValueError:
        return None


def _install(name: str, texts: Sequence[str], effects: Effects) -> None:
    """Read package managers: each can also execute the programs and scripts of a project."""
    words = [one for one in texts if not one.startswith("--")]
    if _INSTALL_WORDS.intersection(words) or (name == "yarn" and not texts):
        effects.act(ToolAction.INSTALL)
        effects.connect()
    if any(
        one in ("publish", "push", "login", "deploy", "upload", "release", "adduser")
        for one in words
    ):
        effects.connect()
    if any(one in ("config", "set", "c", "pkg") for one in words[:1]):
        effects.act(ToolAction.WRITE_OUTSIDE)
    effects.act(ToolAction.RUN)


def _run_package(_name: str, _texts: Sequence[str], effects: Effects) -> None:
    effects.act(ToolAction.INSTALL, ToolAction.RUN)
    effects.connect()


def _run(_name: str, texts: Sequence[str], effects: Effects) -> None:
    for one in texts[:1]:
        effects.read(one)
    _check_script(texts[0] if texts else "", effects)
    effects.act(ToolAction.RUN)


def _schedule(_name: str, texts: Sequence[str], effects: Effects) -> None:
    """Read programs that execute commands later."""
    if tuple(texts) != ("-l",):
        effects.act(ToolAction.RUN_CODE)
        effects.doubt("piped_code")


def _start_client(_name: str, texts: Sequence[str], effects: Effects) -> None:
    """Read a client of a coding agent: it changes its settings, or works without asking."""
    if tuple(texts) != ("--version",):
        effects.act(ToolAction.WRITE_CLIENT_CONFIG, ToolAction.RUN)
        effects.connect()


def _read_secret(_name: str, _texts: Sequence[str], effects: Effects) -> None:
    effects.act(ToolAction.READ_SECRET, ToolAction.RUN)


def _read_interpreter(
    name: str, texts: Sequence[str], effects: Effects, *, is_piped: bool, has_text: bool
) -> None:
    """Read a program that executes code: a file, a module, or what is written in the command."""
    if texts and all(one in ("--version", "-V", "-v", "--help") for one in texts):
        return
    first = texts[0] if texts else "-"
    if name.startswith("python") and first == "-m" and len(texts) > 1:
        if texts[1] in ("pip", "ensurepip", "pipx", "venv"):
            _install("pip", texts[2:], effects)
            effects.act(*([] if texts[1] == "pip" else [ToolAction.INSTALL]))
        effects.act(ToolAction.RUN)
    elif not first.startswith("-") and name not in (
        "sqlite3",
        "psql",
        "mysql",
        "ed",
        "ex",
        "m4",
        "bc",
    ):
        if name in ("deno", "bun"):
            _install(name, texts, effects)
            if first in ("eval", "repl"):
                effects.act(ToolAction.RUN_CODE)
        else:
            effects.read(first)
            _check_script(first, effects)
        effects.act(ToolAction.RUN)
    else:
        effects.act(ToolAction.RUN_CODE)
        if first == "-" and is_piped and not has_text:
            effects.doubt("piped_code")


def _check_script(path: str, effects: Effects) -> None:
    """Doubt a script that is the output of another command."""
    if path.startswith(("/dev/", "/proc/")):
        effects.doubt("piped_code")


def _print_environment(_name: str, texts: Sequence[str], effects: Effects) -> None:
    effects.act(ToolAction.READ_SECRET)


_Reader = Callable[[str, Sequence[str], Effects], None]
_PROGRAMS: Mapping[str, _Reader] = {
    name: reader
    for reader, names in (
        (_read_nothing, _PLAIN | {"echo"}),
        (_print_format, {"printf"}),
        (_show_date, {"date"}),
        (_read_settings, {"set"}),
        (_doubt, _DOUBTFUL),
        (_list_files, _LISTERS),
        (_read_files, _READERS),
        (_search, _SEARCHERS),
        (_find_files, {"find", "fd", "fdfind"}),
        (_write_files, _TOUCHERS),
        (_delete_files, _DELETERS),
        (_copy_files, _COPIERS),
        (_copy_blocks, {"dd"}),
        (_edit_stream, {"sed", "gsed"}),
        (_read_awk, {"awk", "gawk", "mawk", "nawk"}),
        (_sort_lines, {"sort", "gsort"}),
        (_read_then_write, {"uniq", "xxd"}),
        (_print_tree, {"tree"}),
        (_call_host, {"curl", "wget"}),
        (_use_network, _NETWORK),
        (read_git, {"git"}),
        (_install, _PACKAGE_MANAGERS),
        (_run_package, _RUNS_PACKAGES),
        (_run, {"source", "."}),
        (_schedule, {"at", "batch", "crontab"}),
        (_start_client, {one.value for one in CodingClient}),
        (_read_secret, _SECRET_COMMANDS - {"printenv"}),
        (_print_environment, {"printenv"}),
    )
    for name in names
}


_ALWAYS_NAMED = frozenset(
    {
        ToolAction.RUN_CODE,
        ToolAction.READ_OUTSIDE,
        ToolAction.READ_SECRET,
        ToolAction.WRITE_OUTSIDE,
        ToolAction.WRITE_GIT,
    }
)
"""Actions that a beginning of a command covers only if it has them with all further words."""


@lru_cache(2_000)
def read_command_actions(words: tuple[str, ...]) -> frozenset[ToolAction]:
    """Return what a command does that begins with these words, if names of files follow."""
    found = []
    for added in ((), ("name.txt",), ("name.txt", "other.txt")):
        effects = Effects("/home/x/project")
        with effects.own_part() as part:
            read_program([Word(one, one) for one in (*words, *added)], effects)
        found.append(frozenset(part.actions))
    union, common = frozenset().union(*found), found[0].intersection(*found)
    return union - (_ALWAYS_NAMED - common) | {ToolAction.READ}
