"""What the demo tells: invented boards, agents and tasks of a company that does not exist."""

from dataclasses import dataclass

ORGANIZATION = "Tern & Co (demo)"


@dataclass(frozen=True)
class Work:
    """A task of the demo, and what an agent says while it works on it."""

    title: str
    description: str
    priority: str = "medium"
    due_in: int | None = None  # days
    waits_for: str | None = None  # the title of another task
    says: tuple[str, ...] = ()
    question: str = ""
    why: str = ""
    confidence: int = 90


@dataclass(frozen=True)
class Worker:
    """An agent of the demo. `plays` says whether a script works as this agent."""

    name: str
    role: str
    emoji: str
    is_lead: bool = False
    plays: bool = False


@dataclass(frozen=True)
class Desk:
    """A board of the demo."""

    name: str
    description: str
    objective: str
    approval_for_done: bool
    workers: tuple[Worker, ...]
    work: tuple[Work, ...]
    later: tuple[Work, ...] = ()  # what the lead adds as time goes by
    past: tuple[str, ...] = ()  # what was done before anybody came to look


RELEASE = Desk(
    name="Release operations",
    description="Everything between a green build and every customer being on it.",
    objective="Ship 2.4 to every customer without a rollback",
    approval_for_done=True,
    workers=(
        Worker("Wren", "Runs the release", "dart", is_lead=True, plays=True),
        Worker("Juniper", "Release engineer", "rocket", plays=True),
        Worker("Pike", "Database fixer", "wrench"),
    ),
    work=(
        Work(
            "Cut release candidate 2.4.0-rc.2",
            "Branch from `main`, tag, build the packages and attach the checksums.",
            "high",
            due_in=0,
            says=("Branch is cut, packages are building.", "Built and signed. Checksums attached."),
            question="Call 2.4.0-rc.2 the candidate we test?",
            why="All 312 checks are green, and the packages install on all four systems.",
            confidence=93,
        ),
        Work(
            "Publish the 2.4 release notes",
            "Write notes a customer can act on. Lead with the **two breaking changes**, link each "
            "to its migration step, keep it under 600 words.",
            due_in=3,
            waits_for="Cut release candidate 2.4.0-rc.2",
            says=("Draft is up: 14 changes, 2 breaking, 540 words.",),
            question="Publish the 2.4 release notes to the public changelog?",
            why="The draft covers all 14 merged changes. I checked each against its pull request "
            "and removed one internal hostname.",
            confidence=92,
        ),
        Work(
            "Load-test the import queue at ten times today's traffic",
            "Replay last Tuesday at ten times its speed. Report p50, p99 and what breaks first.",
            says=(
                "Replay runs at x4. p99 is 180 ms and flat.",
                "x10 held for 20 minutes: p50 41 ms, p99 320 ms. Memory is what breaks first.",
            ),
            question="Accept the import queue as it is for 2.4?",
            why="It holds ten times today's traffic. The limit is memory, at about x13.",
            confidence=84,
        ),
        Work(
            "Raise the canary from 5% to 25% of customers",
            "Only when the error rate of the canary has been under 0.1% for six hours.",
            "high",
            due_in=1,
            says=("Error rate of the canary: 0.04% over six hours.",),
            question="Raise the 2.4 canary from 5% to 25% of customers?",
            why="Six quiet hours at 5%. At 25% a fault would reach about 900 customers before the "
            "watch rolls it back.",
            confidence=74,
        ),
        Work(
            "Rotate the signing key before general availability",
            "The old key signs until 2.4 is out, then it is revoked.",
            "high",
            due_in=6,
            says=("New key is in the vault, and the build signs with both.",),
            question="Revoke the old signing key?",
            why="Every package since Monday carries both signatures.",
            confidence=88,
        ),
    ),
    later=(
        Work(
            "Check licence headers in the new packages",
            "Four packages are new since 2.3.",
            "low",
            says=("All four carry the right header.",),
            question="Mark the licence check done?",
            why="A script and a reading by eye agree.",
            confidence=97,
        ),
        Work(
            "Draft the deprecation notice for v1 webhooks",
            "Say until when they work, and what to use instead.",
            "low",
            says=("Draft is written: they stop on 1 March.",),
            question="Send the notice about v1 webhooks to 214 customers?",
            why="They are the ones who called a v1 webhook in the last 30 days.",
            confidence=81,
        ),
        Work(
            "Collect upgrade notes from last month's support tickets",
            "What did people stumble over on the way to 2.3?",
            says=("Read 58 tickets. Three stumbling blocks account for 41 of them.",),
            question="Add the three stumbling blocks to the upgrade guide?",
            why="41 of 58 tickets were about them.",
            confidence=90,
        ),
        Work(
            "Announce 2.4 in the customer newsletter",
            "Two paragraphs and one picture.",
            "low",
            due_in=9,
            says=("Two paragraphs, one picture, no adjectives.",),
            question="Hand the 2.4 announcement to the newsletter?",
            why="It says the same as the release notes, in fewer words.",
            confidence=86,
        ),
    ),
    past=(
        "Freeze the 2.4 changelog",
        "Cut release candidate 2.4.0-rc.1",
        "Move the build to the new signing service",
    ),
)

DOCS = Desk(
    name="Docs refresh",
    description="Every page read by somebody, and either mended or removed.",
    objective="No page older than a year that nobody has checked",
    approval_for_done=False,
    workers=(
        Worker("Sorrel", "Technical writer", "memo", plays=True),
        Worker("Plover", "Link checker", "mag"),
    ),
    work=(
        Work(
            "Rewrite the quick start",
            "A newcomer should have something running after five minutes.",
            "high",
            says=("New order: run it first, explain it after.", "Down from 14 steps to 5."),
        ),
        Work(
            "Check every link in the API reference",
            "Dead ones are mended or removed.",
            says=("212 links, 9 dead.", "All 9 mended."),
        ),
        Work(
            "Explain rate limits with an example",
            "People read `429` as an outage.",
            says=("Added an example with `Retry-After` and a loop that honours it.",),
        ),
        Work(
            "Draw the request's way through the system",
            "One picture, no more than nine boxes.",
            says=("Seven boxes, and every arrow has a name.",),
        ),
        Work("Add a glossary", "Thirty words at most.", "low", says=("Twenty-six words.",)),
    ),
    past=("Remove the page about the old importer", "Shorten the page about permissions"),
)

DESKS = (RELEASE, DOCS)
