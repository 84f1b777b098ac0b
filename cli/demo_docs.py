"""The board of the documentation in the demo: an agent without a lead completes its tasks."""

from cli.demo_content import DemoAgent, DemoBoard, DemoTask

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
