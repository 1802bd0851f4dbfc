"""The index by which operators' own sign-ins are read, made without stopping whoever writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('account', '0101_speed'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='signin',
            index=models.Index(condition=models.Q(('door', 'backoffice')), fields=['-id'], name='sign_in_by_staff'),
        ),
    ]
