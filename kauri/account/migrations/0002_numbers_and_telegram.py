"""Account numbers for everybody, and a place for a linked Telegram account."""

from __future__ import annotations

from typing import Any

import django.db.models.functions.text
from django.db import migrations, models

import kauri.common.ids


def number_everybody(apps: Any, schema_editor: Any) -> None:
    user = apps.get_model("account", "User")
    for row in user.objects.filter(number__isnull=True).only("pk").iterator():
        user.objects.filter(pk=row.pk).update(number=kauri.common.ids.account_number())


class Migration(migrations.Migration):
    dependencies = (("account", "0001_initial"),)

    operations = (
        migrations.AddField(
            model_name="user", name="number", field=models.CharField(max_length=17, null=True, editable=False)
        ),
        migrations.RunPython(number_everybody, migrations.RunPython.noop),
        # The rows just written have checks waiting, and the table changes next.
        migrations.RunSQL("set constraints all immediate", "set constraints all immediate"),
        migrations.AlterField(
            model_name="user",
            name="number",
            field=models.CharField(
                default=kauri.common.ids.account_number,
                editable=False,
                max_length=17,
                unique=True,
                verbose_name="account number",
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="telegram_id",
            field=models.BigIntegerField(blank=True, null=True, unique=True, verbose_name="Telegram id"),
        ),
        migrations.AddField(
            model_name="user",
            name="telegram_username",
            field=models.CharField(blank=True, default="", max_length=32, verbose_name="Telegram name"),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Lower("telegram_username"),
                condition=models.Q(("telegram_username", ""), _negated=True),
                name="user_telegram_username",
            ),
        ),
    )
