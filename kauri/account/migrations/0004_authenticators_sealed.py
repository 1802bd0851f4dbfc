"""Authenticators move out of django-otp's table, which kept their secrets in clear; that table goes."""

from __future__ import annotations

from typing import Any

from django.db import migrations

OLD = "otp_totp_totpdevice"


def seal(apps: Any, schema_editor: Any) -> None:
    """The newest confirmed authenticator of each account; whoever has one has that one."""
    device = apps.get_model("account", "TOTPDevice")
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("select to_regclass(%s) is not null", [OLD])
        if not cursor.fetchone()[0]:
            return
        cursor.execute(
            f"select distinct on (user_id) user_id, name, key, last_t from {OLD}"
            " where confirmed order by user_id, id desc"
        )
        for user_id, name, key, last_t in cursor.fetchall():
            device.objects.create(user_id=user_id, name=name, key=key, last_t=last_t, confirmed=True)
        cursor.execute("set constraints all immediate")
        cursor.execute(f"drop table {OLD}")


class Migration(migrations.Migration):
    dependencies = (("account", "0003_sessions_and_security"),)

    operations = (migrations.RunPython(seal, migrations.RunPython.noop),)
