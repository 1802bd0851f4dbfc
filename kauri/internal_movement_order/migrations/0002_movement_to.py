"""Who got each movement, in an index made without stopping whoever writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('internal_movement_order', '0001_initial'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='movementdetail',
            index=models.Index(fields=['order'], include=('recipient',), name='movement_to'),
        ),
    ]
