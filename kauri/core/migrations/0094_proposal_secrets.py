"""A proposal that replaces credentials keeps them sealed until somebody decides."""

from __future__ import annotations

from django.db import migrations

import kauri.common.crypto


class Migration(migrations.Migration):
    dependencies = (("core", "0093_desk_indexes"),)

    operations = (
        migrations.AddField(
            model_name="proposal",
            name="secrets",
            field=kauri.common.crypto.EncryptedTextField(blank=True, default="", editable=False),
        ),
    )
