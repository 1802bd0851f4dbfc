"""A key says which signatures it takes."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("account", "0004_authenticators_sealed"),)

    operations = (
        migrations.AddField(
            model_name="apikey",
            name="signature_version",
            field=models.PositiveSmallIntegerField(
                choices=[(1, "version 1 and 2"), (2, "version 2")],
                default=2,
                help_text="version 1 has neither time nor nonce: for clients of the old platform only",
                verbose_name="signature",
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("signature_version__in", [1, 2])), name="api_key_signature_version"
            ),
        ),
    )
