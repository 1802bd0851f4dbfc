"""Indexes that the desk's lists and searches read by, made without stopping whoever writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('wallet', '0032_foreign_tokens'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='depositaddress',
            index=models.Index(fields=['address'], name='deposit_address_address'),
        ),
        AddIndexConcurrently(
            model_name='depositaddress',
            index=models.Index(condition=models.Q(('external_id', ''), _negated=True), fields=['external_id'], name='deposit_address_external_id'),
        ),
        AddIndexConcurrently(
            model_name='paymentlink',
            index=models.Index(fields=['-created_at'], name='payment_link_newest'),
        ),
        AddIndexConcurrently(
            model_name='paymentlink',
            index=models.Index(condition=models.Q(('external_id', ''), _negated=True), fields=['external_id'], name='payment_link_by_client'),
        ),
        AddIndexConcurrently(
            model_name='paymentlink',
            index=models.Index(condition=models.Q(('provider_reference', ''), _negated=True), fields=['provider_reference'], name='payment_link_reference'),
        ),
    ]
