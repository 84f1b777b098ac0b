"""The board of the release in the demo: every task is approved by a person."""

from cli.demo_content import DemoAgent, DemoBoard, DemoTask

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
