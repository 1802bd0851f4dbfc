"""A rate that was good once is never changed: what was judged by it must be explained afterwards."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = (("exchange_rate", "0001_initial"), ("core", "0002_append_only"))

    operations = (
        migrations.RunSQL(
            "create trigger exchange_rate_usdrate_append before update or delete on exchange_rate_usdrate"
            " for each row execute function house_append_only()",
            "drop trigger exchange_rate_usdrate_append on exchange_rate_usdrate",
        ),
    )
