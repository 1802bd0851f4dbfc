"""Indexes that the desk's lists and searches read by, made without stopping whoever writes."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('order_core', '0092_asked'),
    ]

    operations = [
        RemoveIndexConcurrently(
            model_name='order',
            name='order_created',
        ),
        AddIndexConcurrently(
            model_name='order',
            index=models.Index(fields=['-created_at'], include=('type',), name='order_newest'),
        ),
        AddIndexConcurrently(
            model_name='order',
            index=models.Index(condition=models.Q(('source__in', ['api', 'provider']), _negated=True), fields=['source', '-id'], name='order_by_source'),
        ),
        AddIndexConcurrently(
            model_name='order',
            index=models.Index(condition=models.Q(('status', 'CLOSED'), _negated=True), fields=['status', '-id'], name='order_by_status'),
        ),
    ]
