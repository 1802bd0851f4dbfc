"""Indexes that the desk's lists and searches read by, made without stopping whoever writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('account', '0033_customer_note_laws'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='signin',
            index=models.Index(fields=['-at'], name='sign_in_newest'),
        ),
        AddIndexConcurrently(
            model_name='user',
            index=models.Index(fields=['-created_at'], name='user_newest'),
        ),
        AddIndexConcurrently(
            model_name='user',
            index=models.Index(condition=models.Q(('username', ''), _negated=True), fields=['username'], name='user_by_name'),
        ),
    ]
