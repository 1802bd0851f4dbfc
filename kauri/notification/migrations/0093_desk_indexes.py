"""Indexes that the desk's lists and searches read by, made without stopping whoever writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('notification', '0092_buttons'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='delivery',
            index=models.Index(condition=models.Q(('subject_id__isnull', False)), fields=['subject_id'], name='delivery_by_id'),
        ),
        AddIndexConcurrently(
            model_name='delivery',
            index=models.Index(fields=['-created_at'], name='delivery_newest'),
        ),
        AddIndexConcurrently(
            model_name='delivery',
            index=models.Index(condition=models.Q(('state', 'delivered'), _negated=True), fields=['state', '-id'], name='delivery_by_state'),
        ),
    ]
