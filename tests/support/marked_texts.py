"""The marker, and values that contain it."""

from collections.abc import Mapping
from typing import Any

MARK = "xssmark"
SECOND_MARK = f"2 {MARK}"  # where two values must differ
DIFF = f"--- a/{MARK}\n+++ b/{MARK}\n@@ -1,2 +1,2 @@\n {MARK}\n-{MARK}\n+{MARK} {MARK}\n"
QUESTIONS = [
    {
        "questionId": MARK,
        "header": MARK,
        "question": MARK,
        "options": [{"label": MARK, "description": MARK}, {"label": SECOND_MARK}],
        "isOther": True,
        "multiSelect": True,
    }
]
PAYLOAD: Mapping[str, Any] = {
    key: MARK for key in ("title", "question", "summary", "reason", "command", "url", "risk", MARK)
} | {"diff": DIFF, "nested": {MARK: [MARK, {MARK: MARK}]}, "changes": [{"from": MARK, "to": MARK}]}
