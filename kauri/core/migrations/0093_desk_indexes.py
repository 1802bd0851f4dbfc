"""Indexes that the desk's lists and searches read by, made without stopping whoever writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('core', '0092_saved_views'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='auditentry',
            index=models.Index(fields=['object_id'], name='audit_by_object_id'),
        ),
        AddIndexConcurrently(
            model_name='auditentry',
            index=models.Index(fields=['actor_label', '-id'], name='audit_by_label'),
        ),
        AddIndexConcurrently(
            model_name='auditentry',
            index=models.Index(fields=['verb', '-id'], name='audit_by_verb'),
        ),
        AddIndexConcurrently(
            model_name='auditentry',
            index=models.Index(condition=models.Q(('request_id', ''), _negated=True), fields=['request_id'], name='audit_by_request'),
        ),
    ]
