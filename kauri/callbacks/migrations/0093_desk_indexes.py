"""Indexes that the desk's lists and searches read by, made without stopping whoever writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('callbacks', '0001_initial'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='inboundcallback',
            index=models.Index(fields=['-received_at'], name='callback_newest'),
        ),
        AddIndexConcurrently(
            model_name='inboundcallback',
            index=models.Index(condition=models.Q(('order_id__isnull', False)), fields=['order_id'], name='callback_order'),
        ),
        AddIndexConcurrently(
            model_name='inboundcallback',
            index=models.Index(condition=models.Q(('state', 'processed'), _negated=True), fields=['state', '-id'], name='callback_by_state'),
        ),
    ]
