"""The board of customer support in the demo: a lead asks a person only about money and data."""

from cli.demo_content import DemoAgent, DemoBoard, DemoTask

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
