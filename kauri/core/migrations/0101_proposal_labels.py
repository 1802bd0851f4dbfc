"""What a proposal is about, in each language of whoever reads it."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("core", "0100_proposal_batch"),)

    operations = (
        migrations.AddField(
            model_name="proposal",
            name="labels",
            field=models.JSONField(default=dict, editable=False),
        ),
    )
