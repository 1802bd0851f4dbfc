"""Indexes that the desk's lists and searches read by, made without stopping whoever writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('balance', '0080_transfer_key_named'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='hold',
            index=models.Index(fields=['-created_at'], name='ledger_hold_newest'),
        ),
        AddIndexConcurrently(
            model_name='transfer',
            index=models.Index(condition=models.Q(('kind__in', [1, 10, 11, 20]), _negated=True), fields=['kind', '-id'], name='ledger_transfer_rare_kind'),
        ),
    ]
