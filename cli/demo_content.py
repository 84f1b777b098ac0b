"""The content of the demo: invented boards, agents and tasks of a fictional company."""

from dataclasses import dataclass

ORGANIZATION = "Tern & Co (demo)"


@dataclass(frozen=True)
class DemoTask:
    """A task of the demo, and the comments and approval of the agent that works on it."""

    title: str
    description: str
    priority: str = "medium"
    due_in_days: int | None = None
    depends_on: str | None = None  # the title of another task
    comments: tuple[str, ...] = ()
    approval_title: str = ""
    approval_reason: str = ""
    confidence: int = 90


@dataclass(frozen=True)
class DemoAgent:
    """An agent of the demo; a script controls it if `is_scripted`."""

    name: str
    role: str
    emoji: str
    is_lead: bool = False
    is_scripted: bool = False


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


RELEASE_BOARD = DemoBoard(
    name="Release operations",
    description="Everything between a green build and every customer being on it.",
    objective="Ship 2.4 to every customer without a rollback",
    approval_for_done=True,
    agents=(
        DemoAgent("Wren", "Runs the release", "dart", is_lead=True, is_scripted=True),
        DemoAgent("Juniper", "Release engineer", "rocket", is_scripted=True),
        DemoAgent("Pike", "Database fixer", "wrench"),
    ),
    tasks=(
        DemoTask(
            "Cut release candidate 2.4.0-rc.2",
            "Branch from `main`, tag, build the packages and attach the checksums.",
            "high",
            due_in_days=0,
            comments=(
                "Branch is cut, packages are building.",
                "Built and signed. Checksums attached.",
            ),
            approval_title="Call 2.4.0-rc.2 the candidate we test?",
            approval_reason="All 312 checks are green, and the packages install on all four "
            "systems.",
            confidence=93,
        ),
        DemoTask(
            "Publish the 2.4 release notes",
            "Write notes a customer can act on. Lead with the **two breaking changes**, link each "
            "to its migration step, keep it under 600 words.",
            due_in_days=3,
            depends_on="Cut release candidate 2.4.0-rc.2",
            comments=("Draft is up: 14 changes, 2 breaking, 540 words.",),
            approval_title="Publish the 2.4 release notes to the public changelog?",
            approval_reason="The draft covers all 14 merged changes. I checked each against its "
            "pull request and removed one internal hostname.",
            confidence=92,
        ),
        DemoTask(
            "Load-test the import queue at ten times today's traffic",
            "Replay last Tuesday at ten times its speed. Report p50, p99 and what breaks first.",
            comments=(
                "Replay runs at x4. p99 is 180 ms and flat.",
                "x10 held for 20 minutes: p50 41 ms, p99 320 ms. Memory is what breaks first.",
            ),
            approval_title="Accept the import queue as it is for 2.4?",
            approval_reason="It holds ten times today's traffic. The limit is memory, at about "
            "x13.",
            confidence=84,
        ),
        DemoTask(
            "Raise the canary from 5% to 25% of customers",
            "Only when the error rate of the canary has been under 0.1% for six hours.",
            "high",
            due_in_days=1,
            comments=("Error rate of the canary: 0.04% over six hours.",),
            approval_title="Raise the 2.4 canary from 5% to 25% of customers?",
            approval_reason="Six quiet hours at 5%. At 25% a fault would reach about 900 customers "
            "before the watch rolls it back.",
            confidence=74,
        ),
        DemoTask(
            "Rotate the signing key before general availability",
            "The old key signs until 2.4 is out, then it is revoked.",
            "high",
            due_in_days=6,
            comments=("New key is in the vault, and the build signs with both.",),
            approval_title="Revoke the old signing key?",
            approval_reason="Every package since Monday carries both signatures.",
            confidence=88,
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
)

DOCS_BOARD = DemoBoard(
    name="Docs refresh",
    description="Every page read by somebody, and either mended or removed.",
    objective="No page older than a year that nobody has checked",
    approval_for_done=False,
    agents=(
        DemoAgent("Sorrel", "Technical writer", "memo", is_scripted=True),
        DemoAgent("Plover", "Link checker", "mag"),
    ),
    tasks=(
        DemoTask(
            "Rewrite the quick start",
            "A newcomer should have something running after five minutes.",
            "high",
            comments=("New order: run it first, explain it after.", "Down from 14 steps to 5."),
        ),
        DemoTask(
            "Check every link in the API reference",
            "Dead ones are mended or removed.",
            comments=("212 links, 9 dead.", "All 9 mended."),
        ),
        DemoTask(
            "Explain rate limits with an example",
            "People read `429` as an outage.",
            comments=("Added an example with `Retry-After` and a loop that honours it.",),
        ),
        DemoTask(
            "Draw the request's way through the system",
            "One picture, no more than nine boxes.",
            comments=("Seven boxes, and every arrow has a name.",),
        ),
        DemoTask("Add a glossary", "Thirty words at most.", "low", comments=("Twenty-six words.",)),
    ),
    done_titles=("Remove the page about the old importer", "Shorten the page about permissions"),
)

DEMO_BOARDS = (RELEASE_BOARD, DOCS_BOARD)
