"""The states that the page of all components shows, with the markup that proves each."""


def _card(attributes: str, title: str) -> str:
    """Return the pattern of a card with this title and these attributes."""
    return rf'<li class="card[^>]*{attributes}[^>]*>\s*<h3[^>]*><a [^>]*>{title}<'


def _button(variant: str) -> dict[str, str]:
    """Return the patterns of all states of a button."""
    start = rf'<button type="button" class="btn {variant}"'
    return {
        "at rest": rf"{start}>\w",
        "with an icon and a key": rf"{start}><svg.*</svg>.*<kbd>",
        "disabled": rf"{start} disabled>",
        "busy": rf'{start} aria-busy="true"><svg class="i spin"',
        "pressed": rf'{start} aria-pressed="true">',
        "icon": rf'class="btn btn--icon {variant}" aria-label=',
        "small": rf'class="btn btn--sm {variant}"',
        "large": rf'class="btn btn--lg {variant}"',
    }


def _ask(*parts: str) -> str:
    """Return the pattern of an approval that contains these parts in order."""
    inside = r"(?:(?!</section>\s*<section class=\"ask)[\s\S])*?"
    return r'<section class="ask' + "".join(inside + part for part in parts)


AGENT_STATES = ("working", "idle", "late", "offline", "provisioning", "paused", "failed")
STATUSES = ("inbox", "in_progress", "review", "done")
TONES = ("signal", "danger", "good")

COMPONENTS: dict[str, dict[str, str]] = {
    "colours": {
        name: rf'fill="var\(--{name}\)"'
        for name in ("canvas", "ink", "accent", "signal", "danger", "good", "plum", "series-4")
    },
    "waiting badge": {"5": 'class="lamp" data-n="5"', "0": 'class="lamp" data-n="0"'},
    "live state": {
        "live": 'class="live" data-state="live">Live<',
        "catching up": 'data-state="catching-up">Updating<',
        "lost": 'data-state="lost">Connection lost<',
    },
    "button": _button(""),
    "main button": _button("btn--solid"),
    "quiet button": _button("btn--ghost"),
    "dangerous button": _button("btn--danger"),
    "dangerous main button": _button("btn--danger-solid"),
    "segments, chips and tabs": {
        "segment pressed": r'class="seg".*aria-pressed="true"',
        "segment not pressed": r'class="seg".*aria-pressed="false"',
        "chip pressed": 'class="chip" aria-pressed="true"',
        "chip not pressed": 'class="chip" aria-pressed="false"',
        "tab": r'class="tabs".*aria-current="page"',
        "new items": 'class="newpill"',
    },
    "field": {
        "with a hint": r'-hint">\s*<p class="hint"',
        "with an error": r'aria-invalid="true" aria-describedby="[^>]*>\s*<p class="err"',
        "with a hint and an error": r'<p class="err".*<p class="hint"',
        "optional": '<span class="opt">optional</span>',
        "disabled": r'<input class="input" [^>]* disabled>',
        "several lines": r'<textarea [^>]*class="input"',
        "several lines with an error": r'<textarea [^>]*aria-invalid="true"',
        "password": 'type="password"',
        "of the whole form": r'<div class="note note--danger" role="alert">.*Correct the marked',
        "search": r'<input class="input" type="search"',
    },
    "select": {
        "chosen": r'<select class="input"[^>]*>\s*<option value="low">Low</option>\s*<option [^>]*'
        " selected",
        "with an error": r'<select [^>]*aria-invalid="true"',
        "disabled": r"<select [^>]* disabled>",
    },
    "switch and checkbox": {
        "switch on": r'class="switch" [^>]*value="true" checked>',
        "switch off": r'class="switch" [^>]*value="true">',
        "switch disabled": r'class="switch" [^>]*value="true" disabled>',
        "switch on and disabled": r'class="switch" [^>]* checked disabled>',
        "checked": r'class="check" type="checkbox" [^>]* checked>',
        "not checked": r'class="check" type="checkbox" name="[^"]*" value="on">',
        "disabled": r'class="check" type="checkbox" [^>]* checked disabled>',
        "radio": r'class="check" type="radio" [^>]* checked>',
        "choices": r'<label class="chip" [^>]*><input class="check"',
    },
    "avatar": {
        "agent": 'class="av av--agent"',
        "agent with an emoji of its own": "🦊",
        "agent with its state": r'class="av__dot" data-state="working"',
        "user": r'class="av" [^>]*>MO<',
        "nobody": 'class="av av--nobody"',
        "several": 'class="avs"',
        **{size: f'class="av av--agent av--{size}"' for size in ("sm", "md", "lg")},
    },
    "state of an agent": {
        state: rf'class="state" data-state="{state}">.*#ag-{state}"' for state in AGENT_STATES
    },
    "heartbeat": {
        "in time": r'class="beat"[^>]*data-p="20"><i [^>]*></i><span>Last seen 2 min ago',
        "late": r'class="beat"[^>]*data-over="late"',
        "lost": r'class="beat"[^>]*data-over="lost"',
    },
    "confidence": {
        "high": r'class="conf"[^>]*><span class="meter"[^>]*data-level="quiet"[^>]*></span>92<',
        "low": r'class="conf"[^>]*><span class="meter"[^>]*data-level="low"[^>]*></span>64<',
        "may be a fraction": r'class="flag flag--danger">.*Confidence 0\.9',
    },
    "status": {name: rf'class="st" data-s="{name}"' for name in STATUSES},
    "priority": {name: rf'class="prio" data-p="{name}"' for name in ("low", "medium", "high")},
    "badge, tag and flag": {
        **{tone: f'class="badge badge--{tone}"' for tone in (*TONES, "accent", "line")},
        "badge": 'class="badge">plain',
        "tag": 'class="tag__c"[^>]*><rect [^>]*fill="#0f766e"',
        "tag without a colour": r'class="tag__c"[^>]*><rect width="8" height="8"/>',
        "needs a decision": r'class="flag"><svg.*Needs you',
        "blocked": r'class="flag flag--danger">.*Blocked by 2 tasks',
        "deadline": r'class="due"><svg',
        "deadline that is over": r'class="due due--over"',
        "unread": 'class="unread"',
    },
    "column": {
        "open": r'<section class="col" id="column-in_progress"',
        "with parts": r'class="col__part">Waiting for you<[\s\S]*class="col__part">Blocked<',
        "empty": r'id="column-inbox"[\s\S]*?<p class="empty--lane">',
        "folded": r'class="col col--shut[^"]*" id="column-done"',
        "where a card is dropped": r'<section class="col" [^>]* data-over>',
    },
    "card": {
        "at rest": _card("", "At rest"),
        "open": _card('aria-current="true"', "Open beside the board"),
        "selected": r"data-pick checked",
        "needs a decision": _card("data-needs", "Needs a decision"),
        "waits for others": _card("", "Waits for the approval of others"),
        "blocked": _card("data-blocked(?! data-movable)", "Blocked"),
        "overdue": _card("", "Overdue")
        + r'/a></h3>\s*<span class="card__tags[^>]*><span class="due due--over"',
        "done": r'<li class="card card--done"',
        "being dragged": r'<li class="card sortable-ghost"',
        "being saved": _card("data-saving", "Being saved"),
        "refused, with the way on": _card("data-refused", "Rejected move")
        + r"[\s\S]*?Request approval",
        "just changed": _card("data-fresh", "Just changed"),
        "unread": _card("data-unread", "Unread comments"),
        "links": r'class="xlink__checks" data-state="failing"',
        "no activity": r'class="flag flag--dim">.*No activity',
        "agent that never called": "Its agent has never called",
    },
    "approval": {
        "waits for the viewer": _ask('value="approved"', 'value="rejected"'),
        "decided by the viewer": _ask(" ask--done", "You rejected", ">Undo<"),
        "decided by another": _ask(" ask--done", "Devi Rao approved"),
        "decided by a policy": _ask(" ask--done", "The policy “"),
        "decided meanwhile": _ask(
            " ask--done", "Devi Rao rejected", 'role="alert"', "Your decision was not saved"
        ),
        "not allowed": _ask("#i-lock", "but not change it"),
        "scores": "Completeness",
    },
    "properties": {
        "list": '<dl class="props" id="task-props">',
        "value that opens an editor": r'id="edit-due" data-edit><summary class="prop"',
        "rejected change": r'class="prop__err" role="alert">',
        "way on": r"questions\"[\s\S]{0,600}Request approval",
    },
    "conversation about a task": {
        "comment": r'<li class="tl__e" id="c-',
        "event": r'<li class="tl__e tl__e--event" id="e-',
        "new since the last visit": r'<li class="unseen" id="new">',
        "earlier": r">Show earlier</a></p>\s*<ol class=\"tl\">",
    },
    "chat": {
        "agent": r'<div dir="auto" class="bubble prose">',
        "viewer": r'You · .*</p><div dir="auto" class="bubble bubble--me prose">',
        "other user": r'Devi Rao · .*</p><div dir="auto" class="bubble bubble--me prose">',
        "command with its effect": r'bubble--cmd">[\s\S]*?</div><p class="xs dim end">Sent to all',
        "writing": r'class="bubble row fit"><span class="typing"',
        "day": 'class="daybreak"',
    },
    "composer": {
        "at rest": r'<form class="composer" id="edit-comment"',
        "with an error": r'<textarea [^>]*id="message"[^>]*aria-invalid="true"',
        "error": 'id="message-error"',
    },
    "row of the activity": {
        "agent": r'class="feed__i"[^>]*>\s*<span><span class="av av--agent"',
        "user": r'class="feed__i"[^>]*>\s*<span><span class="av" ',
        "system": r'class="feed__i"[^>]*>\s*<span><span class="feed__k"',
        "body": 'class="feed__x prose"',
        "just added": r'class="feed__i" id="[^"]*" data-fresh',
        "target": r'href="#e-([\w-]+)"[\s\S]*id="e-\1"',
    },
    "diff": {
        "added": "ln ln--add",
        "removed": "ln ln--del",
        "unchanged": 'class="ln"',
        "heading": "ln ln--other",
        "counts": 'class="plus">\\+2</span> <span class="minus">\N{MINUS SIGN}1',
    },
    "values": {
        "value": r'class="kv [^"]*"[^>]*>[\s\S]*?<dt dir="auto">Region<',
        "old and new": r'<span class="was" dir="auto">5 %</span> 25 %',
    },
    "table": {
        "sorted": r'<th scope="col" aria-sort="ascending"><a',
        "not sorted": r'<th scope="col"><a class="row"',
        "group": r'class="table-group"',
        "row below a row": r'<tr class="sub-row"><td',
        "filter": r'class="filters',
    },
    "figures and charts": {
        "value with its change": r'class="tile__v">[\s\S]*?class="tile__d"><b',
        "no data yet": r'class="tile__v"><small>None delivered yet',
        "line": 'class="spark',
        "chart": 'class="plot',
        "bars": 'class="plot__bars',
        "areas": r'<polygon class="s4"',
        "numbers": 'class="numbers',
    },
    "other boards of a group": {
        "with open tasks": r'id="related-boards"[\s\S]*?Marketing</a>.*?2<span class="vh"> Inbox',
    },
    "selection of rows": {
        "with scripts": r'class="bulk js-only" data-bulk hidden role="toolbar"',
        "without scripts": r'<div class="bulk no-js"><span class="grow">Selected:',
    },
    "result of a fetch": {
        "changed": r'#update"><span class="badge badge--signal">Update to review',
        "not changed": r'<span class="badge badge--line">Not changed',
        "failed": r'badge--danger">Failed</span> <span dir="auto">The host does not answer',
    },
    "step": {
        **{state: f'class="step" data-s="{state}"' for state in ("done", "now", "fail", "todo")},
        "reason and button": r'data-s="fail">.*<div class="step__x">[\s\S]*?<button',
    },
    "toast": {
        "with undo": r'class="toast" role="status"[\s\S]*?<progress[\s\S]*?data-undo',
        "without undo": r'class="toast" role="status"[\s\S]*?data-dismiss',
        "with a link": r'class="toast" .*<a class="link"',
        "error": r'class="toast" role="alert" data-tone="danger"',
    },
    "banner": {
        "connection lost": r'class="banner banner--lost" role="status">.*#i-wifi-off',
        "agents stopped": r'class="banner banner--lost" role="status">.*#i-pause',
        "rights changed": r'class="banner banner--wait" role="status">',
    },
    "note": {
        "plain": 'class="note">',
        **{tone: f'class="note note--{tone}"' for tone in TONES},
        "with a button": r'class="note note--danger"><svg.*<button',
    },
    "dialog and menu": {
        "dialog": 'data-open="pause-agents"',
        "its content": '<dialog class="dlg" id="pause-agents"',
        "safe answer has the focus": r'data-close="pause-agents" autofocus',
        "palette": 'data-open="palette"',
        "palette content": '<dialog class="dlg palette" id="palette"',
        "keyboard shortcuts": 'data-open="keys"',
        "menu": 'popovertarget="card-menu"',
        "menu content": r'class="menu card-menu" id="card-menu"',
        "chosen": r'class="menu [^"]*">.*aria-current="true"',
        "dangerous": r'class="menu [^"]*">.*class="danger"',
    },
    "nothing to show": {
        "empty": r'class="empty"><p class="empty__t">',
        "empty lane": 'class="empty--lane"',
        "loading": 'class="skel',
        "failed": 'id="dashboard-figures-failed"',
        "forbidden": "You can read this board but not change it.",
        "not found": "Page not found, or no access.",
    },
    "pages": {
        "first": r"1 to 25 of 158</span><span class=\"row\"><a [^>]*>Earlier</a></span>",
        "middle": r">26 to 50 of 158<.*>Newest</a><a [^>]*>Later</a><a [^>]*>Earlier<",
        "none": ">0 of 0<",
    },
}
"""The pattern of each state of each component."""
