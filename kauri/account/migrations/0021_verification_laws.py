"""What a verification case may become, and what of it is written once."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).parent / "verification.sql").read_text(encoding="utf-8")
UNDO = """
drop function account_case_laws() cascade;
drop function account_case_has_history() cascade;
drop trigger account_verificationmove_append on account_verificationmove;
drop trigger account_verificationmove_keep on account_verificationmove;
drop trigger account_verificationanswer_append on account_verificationanswer;
drop trigger account_verificationanswer_keep on account_verificationanswer;
drop trigger account_verificationdocument_append on account_verificationdocument;
drop trigger account_verificationdocument_keep on account_verificationdocument;
"""


class Migration(migrations.Migration):
    dependencies = (("account", "0020_verification_cases"), ("core", "0002_append_only"))

    operations = (migrations.RunSQL(SQL, UNDO),)
