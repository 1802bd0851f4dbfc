"""Indexes that the desk's lists and searches read by, made without stopping whoever writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('payment_provider', '0042_cold_coins'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='payin',
            index=models.Index(fields=['-seen_at'], name='payin_newest'),
        ),
        AddIndexConcurrently(
            model_name='payin',
            index=models.Index(fields=['transaction'], name='payin_transaction'),
        ),
        AddIndexConcurrently(
            model_name='payin',
            index=models.Index(condition=models.Q(('address', ''), _negated=True), fields=['address'], name='payin_address'),
        ),
        AddIndexConcurrently(
            model_name='payin',
            index=models.Index(condition=models.Q(('sender', ''), _negated=True), fields=['sender'], name='payin_sender'),
        ),
        AddIndexConcurrently(
            model_name='payin',
            index=models.Index(condition=models.Q(('reference', ''), _negated=True), fields=['reference'], name='payin_reference'),
        ),
        AddIndexConcurrently(
            model_name='payout',
            index=models.Index(fields=['-created_at'], name='payout_newest'),
        ),
        AddIndexConcurrently(
            model_name='payout',
            index=models.Index(fields=['destination'], name='payout_destination'),
        ),
        AddIndexConcurrently(
            model_name='payout',
            index=models.Index(condition=models.Q(('provider_reference', ''), _negated=True), fields=['provider_reference'], name='payout_reference'),
        ),
        AddIndexConcurrently(
            model_name='payout',
            index=models.Index(condition=models.Q(('state', 'confirmed'), _negated=True), fields=['state', '-id'], name='payout_by_state'),
        ),
    ]
