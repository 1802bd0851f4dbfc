"""The index by which a list of one channel's messages is read, made without stopping whoever writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('notification', '0093_desk_indexes'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='delivery',
            index=models.Index(condition=models.Q(('channel', 'webhook'), _negated=True), fields=['channel', '-id'], name='delivery_by_channel'),
        ),
    ]
