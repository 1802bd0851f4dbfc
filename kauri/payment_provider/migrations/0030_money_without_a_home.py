"""Why money was not credited, and when the books know it."""

import kauri.common.models
from decimal import Decimal
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0030_screening_providers'),
        ('payment_provider', '0004_sweeps'),
    ]

    operations = [
        migrations.AddField(
            model_name='payin',
            name='booked_at',
            field=models.DateTimeField(help_text='from here on it stands on the suspense account', null=True, verbose_name="in the books as nobody's"),
        ),
        migrations.AddField(
            model_name='payin',
            name='cost',
            field=kauri.common.models.MoneyField(default=Decimal('0'), verbose_name="provider's cost"),
        ),
        migrations.AddField(
            model_name='payin',
            name='fault',
            field=models.CharField(blank=True, choices=[('unknown_reference', 'No payment link of ours has this reference'), ('overpaid', 'More than the link asked for'), ('underpaid', 'Less than the link asked for'), ('wrong_currency', "Another currency than the link's"), ('duplicate', 'The link has been paid already'), ('late', 'It came after the link or the deposit had ended'), ('below_minimum', 'Less than the least deposit'), ('refused', 'The policy refuses it'), ('address_not_given', 'The address was not given to anybody')], default='', max_length=20, verbose_name='why it was not credited'),
        ),
        migrations.AddField(
            model_name='payin',
            name='fault_detail',
            field=models.CharField(blank=True, default='', max_length=300, verbose_name='in detail'),
        ),
        migrations.AddField(
            model_name='payin',
            name='state_before',
            field=models.CharField(blank=True, default='', editable=False, max_length=12),
        ),
        migrations.AlterField(
            model_name='payin',
            name='state',
            field=models.CharField(choices=[('seen', 'Seen, waits for confirmations'), ('credited', 'Credited'), ('unmatched', "Nobody's: waits for a person"), ('orphaned', 'Gone from the chain'), ('alarm', 'Credited, then gone from the chain'), ('held', 'Held: a person decides'), ('returned', 'Sent back'), ('kept', 'Kept as income')], default='seen', max_length=12, verbose_name='state'),
        ),
        # What waited before there were codes says that it was refused.
        migrations.RunSQL("update payment_provider_payin set fault = 'refused' where state = 'unmatched'", migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='payin',
            index=models.Index(condition=models.Q(('fault', ''), _negated=True), fields=['-id'], name='payin_without_home'),
        ),
        migrations.AddConstraint(
            model_name='payin',
            constraint=models.CheckConstraint(condition=models.Q(('cost__gte', 0), ('cost__lte', models.F('amount'))), name='payin_cost'),
        ),
        migrations.AddConstraint(
            model_name='payin',
            constraint=models.CheckConstraint(condition=models.Q(('fault', ''), ('state', 'unmatched'), _negated=True), name='payin_unmatched_says_why'),
        ),
        migrations.AddConstraint(
            model_name='payin',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['held', 'returned', 'kept']), _negated=True), ('booked_at__isnull', False), _connector='OR'), name='payin_decided_is_booked'),
        ),
    ]
