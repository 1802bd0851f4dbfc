"""What people do about unmatched money; the wish of a deposit."""

import django.db.models.deletion
import kauri.common.clock
import kauri.common.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0030_screening_providers'),
        ('deposit_order', '0001_initial'),
        ('payment_provider', '0030_money_without_a_home'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='UnmatchedMoney',
            fields=[
            ],
            options={
                'verbose_name': 'unmatched money',
                'verbose_name_plural': 'unmatched money',
                'proxy': True,
                'indexes': [],
                'constraints': [],
            },
            bases=('payment_provider.payin',),
        ),
        migrations.AlterModelOptions(
            name='depositdetail',
            options={'permissions': (('decide_hold', 'Can decide on deposits that analysis holds'),), 'verbose_name': 'deposit', 'verbose_name_plural': 'deposits'},
        ),
        migrations.AddField(
            model_name='depositdetail',
            name='convert_to',
            field=models.ForeignKey(help_text="the customer's wish", null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.currency', verbose_name='convert to'),
        ),
        migrations.CreateModel(
            name='UnmatchedAct',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=kauri.common.ids.uuid7, editable=False, unique=True)),
                ('kind', models.CharField(choices=[('credit', 'Credit to a customer'), ('send_back', 'Send back'), ('keep', 'Keep as income')], max_length=9, verbose_name='what')),
                ('with_fee', models.BooleanField(default=True, verbose_name='with the deposit fee')),
                ('evidence', models.CharField(blank=True, default='', max_length=128, verbose_name='outgoing transaction')),
                ('reason', models.TextField(verbose_name='reason')),
                ('state', models.CharField(choices=[('pending', 'Waits for a second person'), ('done', 'Done'), ('rejected', 'Rejected'), ('withdrawn', 'Withdrawn')], default='pending', max_length=9, verbose_name='state')),
                ('proposed_by_id', models.BigIntegerField(editable=False)),
                ('proposed_by', models.CharField(max_length=254, verbose_name='proposed by')),
                ('proposed_at', models.DateTimeField(default=kauri.common.clock.now, verbose_name='proposed')),
                ('decided_by_id', models.BigIntegerField(editable=False, null=True)),
                ('decided_by', models.CharField(blank=True, default='', max_length=254, verbose_name='decided by')),
                ('decided_at', models.DateTimeField(null=True, verbose_name='decided')),
                ('decision_reason', models.TextField(blank=True, default='', verbose_name='words of the decision')),
                ('customer', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='customer')),
                ('payin', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='acts', to='payment_provider.payin', verbose_name='payin')),
            ],
            options={
                'verbose_name': 'act on unmatched money',
                'verbose_name_plural': 'acts on unmatched money',
                'ordering': ('-id',),
                'permissions': (('propose_unmatchedact', 'Can propose what becomes of unmatched money'), ('decide_unmatchedact', 'Can decide on unmatched money')),
                'constraints': [models.CheckConstraint(condition=models.Q(('decided_by_id__isnull', True), models.Q(('decided_by_id', models.F('proposed_by_id')), _negated=True), _connector='OR'), name='unmatched_act_two_people'), models.CheckConstraint(condition=models.Q(models.Q(('decided_by_id__isnull', False), ('state__in', ['done', 'rejected'])), models.Q(('decided_by_id__isnull', True), ('state__in', ['pending', 'withdrawn'])), _connector='OR'), name='unmatched_act_decided_by_somebody'), models.CheckConstraint(condition=models.Q(models.Q(('customer__isnull', False), ('evidence', ''), ('kind', 'credit')), models.Q(('customer__isnull', True), ('kind', 'send_back'), models.Q(('evidence', ''), _negated=True)), models.Q(('customer__isnull', True), ('evidence', ''), ('kind', 'keep')), _connector='OR'), name='unmatched_act_has_what_it_needs'), models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='unmatched_act_says_why'), models.UniqueConstraint(condition=models.Q(('state', 'pending')), fields=('payin',), name='unmatched_act_one_waits'), models.UniqueConstraint(condition=models.Q(('state__in', ['pending', 'done']), models.Q(('evidence', ''), _negated=True)), fields=('evidence',), name='unmatched_act_evidence_once')],
            },
        ),
    ]
