"""What a card, a ban and the key of fingerprints stay, whoever writes."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).parent / "cards.sql").read_text(encoding="utf-8")
UNDO = """
drop function payment_card_laws() cascade;
drop function payment_card_ban_laws() cascade;
drop function payment_card_key_laws() cascade;
alter table payment_card_paymentcard drop constraint card_number_is_sealed;
alter table payment_card_cardkey drop constraint card_key_is_sealed;
"""


class Migration(migrations.Migration):
    dependencies = (("payment_card", "0001_initial"),)

    operations = (migrations.RunSQL(SQL, UNDO),)
