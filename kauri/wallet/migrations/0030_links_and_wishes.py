"""What a link or an address was asked with."""

import django.core.serializers.json
import django.db.models.deletion
import kauri.common.models
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0030_screening_providers'),
        ('wallet', '0002_sweeps'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='depositaddress',
            name='additional_info',
            field=models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder, verbose_name='from the client'),
        ),
        migrations.AddField(
            model_name='depositaddress',
            name='comment',
            field=models.CharField(blank=True, default='', max_length=500, verbose_name='comment'),
        ),
        migrations.AddField(
            model_name='depositaddress',
            name='convert_to',
            field=models.ForeignKey(help_text="the customer's wish", null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.currency', verbose_name='convert to'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='additional_info',
            field=models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder, verbose_name='from the client'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='cancelled_at',
            field=models.DateTimeField(null=True, verbose_name='cancelled'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='comment',
            field=models.CharField(blank=True, default='', max_length=500, verbose_name='comment'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='convert_to',
            field=models.ForeignKey(help_text="the customer's wish", null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.currency', verbose_name='convert to'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='fail_url',
            field=models.TextField(blank=True, default='', verbose_name='page after failure'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='fee',
            field=kauri.common.models.MoneyField(help_text='on top of what the customer gets', null=True, verbose_name='agreed fee'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='processing_url',
            field=models.TextField(blank=True, default='', verbose_name='page while it is processed'),
        ),
        migrations.AddField(
            model_name='paymentlink',
            name='success_url',
            field=models.TextField(blank=True, default='', verbose_name='page after success'),
        ),
        migrations.AddIndex(
            model_name='paymentlink',
            index=models.Index(condition=models.Q(('external_id', ''), _negated=True), fields=['user', 'external_id'], name='payment_link_external_id'),
        ),
        migrations.AddConstraint(
            model_name='paymentlink',
            constraint=models.CheckConstraint(condition=models.Q(('fee__isnull', True), models.Q(('amount__isnull', False), ('fee__gte', 0)), _connector='OR'), name='payment_link_fee_of_an_amount'),
        ),
    ]
