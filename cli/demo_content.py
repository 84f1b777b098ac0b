"""The content of the demo: boards, agents and tasks of a fictional company."""

from dataclasses import dataclass

ORGANIZATION = "Tern & Co (demo)"
GROUP = "Version 2.4"
TAGS = {
    "release": "0f766e",
    "docs": "b45309",
    "security": "b91c1c",
    "customers": "6d28d9",
    "performance": "1d4ed8",
}
"""Colours of tags by name."""


@dataclass(frozen=True)
class DemoTask:
    """A task of the demo, and the comments and approval of the agent that works on it."""

    title: str
    description: str
    priority: str = "medium"
    due_in_days: int | None = None
    depends_on: str | None = None  # the title of another task
    tags: tuple[str, ...] = ()
    status: str = "inbox"  # when the demo is created
    worker: str | None = None  # who has it then
    comments: tuple[str, ...] = ()  # one for each step of the work
    approval_title: str = ""
    approval_reason: str = ""
    confidence: int = 90
    diff: str = ""  # what an approval will change
    scores: tuple[tuple[str, int], ...] = ()  # of an approval, by criterion


@dataclass(frozen=True)
class DemoAgent:
    """An agent of the demo; a script controls it if `is_scripted`."""

    name: str
    role: str
    emoji: str
    is_lead: bool = False
    is_scripted: bool = False
    chat: tuple[str, ...] = ()  # what it writes in the chat of its board, one after the other


@dataclass(frozen=True)
class DemoBoard:
    """A board of the demo."""

    name: str
    description: str
    objective: str
    approval_for_done: bool
    agents: tuple[DemoAgent, ...]
    tasks: tuple[DemoTask, ...]
    later_tasks: tuple[DemoTask, ...] = ()  # added by the lead one after the other
    done_titles: tuple[str, ...] = ()  # tasks that are done from the beginning
    notes: tuple[str, ...] = ()  # what the agents have learnt
    is_in_group: bool = False


CHANGELOG_DIFF = """--- a/CHANGELOG.md
+++ b/CHANGELOG.md
@@ -1,5 +1,9 @@
 # Changes

-## 2.4 (unreleased)
+## 2.4
+
+- **Breaking:** webhooks of version 1 stop on 1 March.
+- **Breaking:** `import.max_rows` is now 50,000.
+- The import queue takes ten times the load.

 ## 2.3
"""

CANARY_DIFF = """--- a/deploy/canary.yaml
+++ b/deploy/canary.yaml
@@ -2,5 +2,5 @@
 service: import
 version: 2.4.0-rc.2
-share: 5
+share: 25
 rollback_above_error_rate: 0.1
-watch_minutes: 30
+watch_minutes: 60
"""

KEYS_DIFF = """--- a/signing/keys.toml
+++ b/signing/keys.toml
@@ -1,5 +1,4 @@
 [active]
-primary = "2024-a"
-secondary = "2026-a"
+primary = "2026-a"

 [revoked]
+keys = ["2024-a"]
"""


RELEASE_BOARD = DemoBoard(
    name="Release operations",
    description="Everything between a green build and every customer being on it.",
    objective="Ship 2.4 to every customer without a rollback",
    approval_for_done=True,
    agents=(
        DemoAgent(
            "Wren",
            "Runs the release",
            "dart",
            is_lead=True,
            is_scripted=True,
            chat=(
                "Plan for today: candidate, release notes, then the canary.",
                "The canary stays at 5% until its error rate has been quiet for six hours.",
                "@Juniper the signing key has to be rotated before general availability.",
                "Three approvals decide how far we get today. Each shows what it will change.",
                "Support reports no new crashes with the candidate.",
                "I will add the remaining work for the newsletter and the upgrade guide.",
            ),
        ),
        DemoAgent(
            "Juniper",
            "Release engineer",
            "rocket",
            is_scripted=True,
            chat=(
                "Build machines are free. I start with the candidate.",
                "The package cache was full; I removed builds older than 90 days.",
                "Replay data of last Tuesday is loaded, 2.1 million events.",
                "Both signatures verify on all four systems.",
                "Rollback was rehearsed: 4 minutes from the alarm to the old version.",
            ),
        ),
        DemoAgent("Pike", "Database fixer", "wrench"),
    ),
    tasks=(
        DemoTask(
            "Cut release candidate 2.4.0-rc.2",
            "Branch from `main`, tag, build the packages and attach the checksums.",
            "high",
            due_in_days=0,
            tags=("release",),
            status="in_progress",
            worker="Juniper",
            comments=(
                "Branch is cut, packages are building.",
                "Built and signed. Checksums attached.",
            ),
            approval_title="Call 2.4.0-rc.2 the candidate we test?",
            approval_reason="All 312 checks are green, and the packages install on all four "
            "systems.",
            confidence=93,
            scores=(("Tests", 98), ("Packages", 95), ("Rollback", 86)),
        ),
        DemoTask(
            "Publish the 2.4 release notes",
            "Write notes a customer can act on. Lead with the **two breaking changes**, link each "
            "to its migration step, keep it under 600 words.",
            due_in_days=3,
            depends_on="Cut release candidate 2.4.0-rc.2",
            tags=("release", "docs"),
            comments=("Draft is up: 14 changes, 2 breaking, 540 words.",),
            approval_title="Publish the 2.4 release notes to the public changelog?",
            approval_reason="The draft covers all 14 merged changes. I checked each against its "
            "pull request and removed one internal hostname.",
            confidence=92,
            diff=CHANGELOG_DIFF,
            scores=(("Complete", 96), ("Correct", 94), ("Clear", 86)),
        ),
        DemoTask(
            "Load-test the import queue at ten times today's traffic",
            "Replay last Tuesday at ten times its speed. Report p50, p99 and what breaks first.",
            due_in_days=-1,
            tags=("performance",),
            comments=(
                "Replay runs at x4. p99 is 180 ms and flat.",
                "x10 held for 20 minutes: p50 41 ms, p99 320 ms. Memory is what breaks first.",
            ),
            approval_title="Accept the import queue as it is for 2.4?",
            approval_reason="It holds ten times today's traffic. The limit is memory, at about "
            "x13.",
            confidence=84,
            scores=(("Latency", 92), ("Memory", 71)),
        ),
        DemoTask(
            "Raise the canary from 5% to 25% of customers",
            "Only when the error rate of the canary has been under 0.1% for six hours.",
            "high",
            due_in_days=1,
            depends_on="Cut release candidate 2.4.0-rc.2",
            tags=("release", "customers"),
            comments=("Error rate of the canary: 0.04% over six hours.",),
            approval_title="Raise the 2.4 canary from 5% to 25% of customers?",
            approval_reason="Six quiet hours at 5%. At 25% a fault would reach about 900 customers "
            "before the watch rolls it back.",
            confidence=74,
            diff=CANARY_DIFF,
            scores=(("Error rate", 97), ("Blast radius", 58)),
        ),
        DemoTask(
            "Rotate the signing key before general availability",
            "The old key signs until 2.4 is out, then it is revoked.",
            "high",
            due_in_days=6,
            depends_on="Raise the canary from 5% to 25% of customers",
            tags=("security",),
            comments=("New key is in the vault, and the build signs with both.",),
            approval_title="Revoke the old signing key?",
            approval_reason="Every package since Monday carries both signatures.",
            confidence=88,
            diff=KEYS_DIFF,
        ),
    ),
    later_tasks=(
        DemoTask(
            "Check licence headers in the new packages",
            "Four packages are new since 2.3.",
            "low",
            comments=("All four carry the right header.",),
            approval_title="Mark the licence check done?",
            approval_reason="A script and a reading by eye agree.",
            confidence=97,
        ),
        DemoTask(
            "Draft the deprecation notice for v1 webhooks",
            "Say until when they work, and what to use instead.",
            "low",
            comments=("Draft is written: they stop on 1 March.",),
            approval_title="Send the notice about v1 webhooks to 214 customers?",
            approval_reason="They are the ones who called a v1 webhook in the last 30 days.",
            confidence=81,
        ),
        DemoTask(
            "Collect upgrade notes from last month's support tickets",
            "What did people stumble over on the way to 2.3?",
            comments=("Read 58 tickets. Three stumbling blocks account for 41 of them.",),
            approval_title="Add the three stumbling blocks to the upgrade guide?",
            approval_reason="41 of 58 tickets were about them.",
            confidence=90,
        ),
        DemoTask(
            "Announce 2.4 in the customer newsletter",
            "Two paragraphs and one picture.",
            "low",
            due_in_days=9,
            comments=("Two paragraphs, one picture, no adjectives.",),
            approval_title="Hand the 2.4 announcement to the newsletter?",
            approval_reason="It says the same as the release notes, in fewer words.",
            confidence=86,
        ),
    ),
    done_titles=(
        "Freeze the 2.4 changelog",
        "Cut release candidate 2.4.0-rc.1",
        "Move the build to the new signing service",
    ),
    notes=(
        "The canary is raised only by a person. Six hours below 0.1% errors come first.",
        "Packages are signed with both keys until 2.4 is out.",
    ),
    is_in_group=True,
)
"""The board of the release: every task is approved by a person."""


DOCS_BOARD = DemoBoard(
    name="Docs refresh",
    description="Every page is read by somebody, and either corrected or removed.",
    objective="No page is older than a year without a check",
    approval_for_done=False,
    is_in_group=True,
    notes=("Examples are run before they are published.", "A page has one purpose and one owner."),
    agents=(
        DemoAgent(
            "Sorrel",
            "Technical writer",
            "memo",
            is_scripted=True,
            chat=(
                "I begin with the quick start, because most readers leave there.",
                "The API reference has the most dead links, the guides the oldest text.",
                "Rate limits are the most searched word of this week, 214 times.",
                "Screenshots are from the new version now, in both themes.",
                "Half of the pages are checked. None of them was completely right.",
                "The word list is agreed with support: one word for each thing.",
            ),
        ),
        DemoAgent("Plover", "Link checker", "mag"),
    ),
    tasks=(
        DemoTask(
            "Rewrite the quick start",
            "A new reader should have something running after five minutes.",
            "high",
            due_in_days=0,
            tags=("docs", "customers"),
            status="in_progress",
            worker="Sorrel",
            comments=(
                "New order: run it first, explain it after.",
                "Down from 14 steps to 5.",
                "Timed with two colleagues: 4 and 6 minutes.",
            ),
        ),
        DemoTask(
            "Check every link in the API reference",
            "Dead links are corrected or removed.",
            tags=("docs",),
            comments=("212 links, 9 dead.", "Seven moved pages, two removed ones. All corrected."),
        ),
        DemoTask(
            "Explain rate limits with an example",
            "People read `429` as an outage.",
            due_in_days=-2,
            tags=("docs", "customers"),
            comments=(
                "Read 31 support tickets about `429` first.",
                "Added an example with `Retry-After` and a loop that honours it.",
            ),
        ),
        DemoTask(
            "Draw the way of a request through the system",
            "One picture with at most nine boxes.",
            comments=("Seven boxes, and every arrow has a name.", "The text below names them too."),
        ),
        DemoTask(
            "Add a glossary",
            "At most thirty words.",
            "low",
            comments=("Twenty-six words.", "Linked from the first use on each page."),
        ),
        DemoTask(
            "Document the two breaking changes of 2.4",
            "For each: who is affected, what to change, and how to test it.",
            "high",
            due_in_days=2,
            tags=("release", "docs"),
            comments=(
                "Webhooks of version 1: list of events and their new names is done.",
                "`import.max_rows`: added how to find out whether an import exceeds it.",
                "Both migration steps were tried on a copy of the staging data.",
            ),
        ),
        DemoTask(
            "Review the upgrade guide from 2.3",
            "Follow it word for word on a fresh machine.",
            due_in_days=3,
            depends_on="Document the two breaking changes of 2.4",
            tags=("release", "docs"),
            comments=("Step 3 needs a restart that was not mentioned.", "It works as written now."),
        ),
        DemoTask(
            "Replace screenshots of the old settings page",
            "Eleven pages show it.",
            "low",
            comments=("Nine replaced, two removed: the text was enough.",),
        ),
        DemoTask(
            "Write about backup and restore",
            "Include how long a restore takes for 10 GB.",
            tags=("docs", "security"),
            comments=(
                "Measured: 10 GB are restored in 6 minutes.",
                "Added that the key belongs with the backup.",
            ),
        ),
        DemoTask(
            "Shorten the page about webhooks",
            "It has 2,300 words, and most readers need one table.",
            comments=("The table of events is first.", "1,150 words are left."),
        ),
        DemoTask(
            "Answer the five most frequent questions on one page",
            "Take them from the tickets of last month.",
            tags=("customers",),
            comments=(
                "The five are: limits, time zones, exports, single sign-on, invoices.",
                "Each answer has a link to its page.",
            ),
        ),
        DemoTask(
            "Check code examples in Python",
            "Each has to run with the current client.",
            depends_on="Check every link in the API reference",
            comments=("18 of 21 run.", "The other three used a parameter that was renamed."),
        ),
        DemoTask(
            "Check code examples in Go",
            "Each has to compile with the current client.",
            depends_on="Check code examples in Python",
            comments=("All 12 compile, one ignored an error.",),
        ),
        DemoTask(
            "Agree on one word for each thing",
            "“Workspace”, “project” and “space” mean the same on different pages.",
            "low",
            comments=("Counted: 41 times “workspace”, 12 times “space”.", "All are “project” now."),
        ),
    ),
    done_titles=("Remove the page about the old importer", "Shorten the page about permissions"),
)
"""The board of the documentation: an agent without a lead completes its tasks."""


LIMIT_DIFF = """--- a/customers/harbour.yaml
+++ b/customers/harbour.yaml
@@ -1,4 +1,4 @@
 name: Harbour Logistics
 plan: business
-import_max_rows: 50000
+import_max_rows: 200000
 region: eu
"""

SUPPORT_BOARD = DemoBoard(
    name="Customer support",
    description="Questions of customers that need more than an answer.",
    objective="Every customer has a first answer within two hours",
    approval_for_done=False,
    notes=("Refunds and changes of customer data need an approval, however small they are.",),
    agents=(
        DemoAgent(
            "Ibis",
            "Leads the support team",
            "owl",
            is_lead=True,
            is_scripted=True,
            chat=(
                "Nine new tickets since yesterday, two of them are urgent.",
                "@Moss please take Harbour Logistics first: their import runs tonight.",
                "Two customers ask for the same export. I make one task of it.",
                "First answers took 48 minutes on average today.",
                "I asked for approval of the refund, with the invoices.",
            ),
        ),
        DemoAgent(
            "Moss",
            "Support engineer",
            "wrench",
            is_scripted=True,
            chat=(
                "I can reproduce the time zone problem with Lisbon, not with Berlin.",
                "Harbour has 180,000 rows, so the limit is the cause.",
                "The export works for files up to 2 GB; above it needs the new client.",
                "The customer thanks us, and asks when 2.4 is out.",
            ),
        ),
        DemoAgent("Knot", "Answers at night", "zap"),
    ),
    tasks=(
        DemoTask(
            "Harbour Logistics: import stops after 50,000 rows",
            "They need the import of 180,000 rows until tonight.",
            "high",
            due_in_days=0,
            tags=("customers", "performance"),
            status="in_progress",
            worker="Moss",
            comments=(
                "The limit of their plan is 50,000 rows, and the import has 180,000.",
                "A higher limit is safe: memory stays below 40% in a test with their file.",
            ),
            approval_title="Raise the import limit of Harbour Logistics to 200,000 rows?",
            approval_reason="Tested with a copy of their file. The limit applies to them alone.",
            confidence=89,
            diff=LIMIT_DIFF,
            scores=(("Effect on others", 95), ("Memory", 83)),
        ),
        DemoTask(
            "Alder Travel: times are off by an hour",
            "Only in reports, and only since the last week of October.",
            tags=("customers",),
            comments=(
                "Reports use the zone of the server for Lisbon.",
                "Set their zone explicitly; the reports of November are right again.",
            ),
        ),
        DemoTask(
            "Refund the double invoice of Juniper Bakery",
            "Invoice 2026-1183 was paid twice, on 3 and on 5 November.",
            "high",
            due_in_days=1,
            tags=("customers",),
            comments=("Both payments are in the bank statement: 240 EUR each.",),
            approval_title="Refund 240 EUR to Juniper Bakery?",
            approval_reason="Invoice 2026-1183 was paid twice. The second payment is unassigned.",
            confidence=96,
            scores=(("Evidence", 98), ("Amount", 97)),
        ),
        DemoTask(
            "Export of all attachments for Fern Legal",
            "They leave a former provider and need everything in one archive.",
            tags=("customers",),
            comments=("The archive has 2.4 GB, in two parts.", "They confirmed the checksums."),
        ),
        DemoTask(
            "Sign-in loops for users of Reed Energy",
            "Only with their identity provider, since its update on Monday.",
            "high",
            tags=("security",),
            comments=(
                "Their provider sends another issuer since Monday.",
                "They corrected the issuer address; 14 users signed in since.",
            ),
        ),
    ),
    later_tasks=(
        DemoTask(
            "Delete the test data of Alder Travel",
            "4,112 bookings that they imported by mistake.",
            tags=("customers",),
            comments=("The filter finds exactly 4,112 bookings, all of 12 November.",),
            approval_title="Delete 4,112 bookings of Alder Travel?",
            approval_reason="They sent the filter, and confirmed the number in writing.",
            confidence=78,
            scores=(("Evidence", 90), ("Reversible", 55)),
        ),
        DemoTask(
            "Slow search for Fern Legal",
            "Searches with quotes take 8 seconds.",
            tags=("performance",),
            comments=(
                "The index was built before the last migration.",
                "Rebuilt at 13:40: 120 ms for the same search.",
            ),
        ),
        DemoTask(
            "Explain the new webhook events to Heron Parcel",
            "They use six events of version 1.",
            "low",
            comments=("Sent a table with the old and new name of all six.",),
        ),
        DemoTask(
            "Missing e-mails at Reed Energy",
            "Three users get no notifications.",
            comments=(
                "Their mail server rejects our new sending address.",
                "They added the address to the list, and a test arrived.",
            ),
        ),
        DemoTask(
            "Collect what customers say about the candidate of 2.4",
            "Eight customers test it.",
            due_in_days=2,
            tags=("release", "customers"),
            comments=(
                "Six answered: four are satisfied, two found the same spelling mistake.",
                "The spelling mistake is reported to the documentation.",
            ),
        ),
        DemoTask(
            "Invoice with the old address of Linden Press",
            "They moved in September.",
            "low",
            comments=("The address is corrected, and the invoice was sent again.",),
        ),
        DemoTask(
            "Quota warning for Heron Parcel",
            "They reach 90% of their storage this week.",
            comments=(
                "Half of it are logs of 2024.",
                "They set the retention to one year: 48% now.",
            ),
        ),
    ),
    done_titles=("Restore a deleted project of Linden Press", "Change the owner of Alder Travel"),
)
"""The board of customer support: a lead asks a person only about money and data."""


DEMO_BOARDS = (RELEASE_BOARD, DOCS_BOARD, SUPPORT_BOARD)
TASKS_BY_TITLE = {
    task.title: task for board in DEMO_BOARDS for task in (*board.tasks, *board.later_tasks)
}
"""All tasks of the demo."""
