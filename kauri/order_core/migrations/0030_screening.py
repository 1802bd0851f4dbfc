"""What analysis was asked and said, and its rules."""

import django.core.serializers.json
import django.core.validators
import django.db.models.deletion
import kauri.common.clock
import kauri.common.ids
import kauri.common.models
import simple_history.models
from decimal import Decimal
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0030_screening_providers'),
        ('order_core', '0005_totp_threshold'),
        ('payment_provider', '0030_money_without_a_home'),
    ]

    operations = [
        migrations.CreateModel(
            name='HistoricalScreeningPolicy',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_user_id', models.BigIntegerField(null=True)),
                ('history_change_reason', models.TextField(null=True)),
                ('is_enabled', models.BooleanField(default=True, verbose_name='switched on')),
                ('min_amount', kauri.common.models.MoneyField(default=Decimal('0'), verbose_name='least amount to analyse')),
                ('hold_score', models.DecimalField(decimal_places=4, default=Decimal('0.5'), max_digits=5, validators=[django.core.validators.MinValueValidator(Decimal('0')), django.core.validators.MaxValueValidator(Decimal('1'))], verbose_name='hold from this score')),
                ('freeze_score', models.DecimalField(decimal_places=4, default=Decimal('0.9'), max_digits=5, validators=[django.core.validators.MinValueValidator(Decimal('0')), django.core.validators.MaxValueValidator(Decimal('1'))], verbose_name='freeze from this score')),
                ('freeze_signals', models.CharField(blank=True, default='', help_text='names as the provider says them, with commas between', max_length=300, verbose_name='signals that freeze at once')),
                ('wait_minutes', models.PositiveIntegerField(default=30, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(10080)], verbose_name='longest wait for an answer, minutes')),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('currency', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='core.currency', verbose_name='currency')),
                ('provider', models.ForeignKey(blank=True, db_constraint=False, limit_choices_to={'kind': 'screening'}, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='core.provider', verbose_name='analysis provider')),
            ],
            options={
                'verbose_name': 'historical analysis rule',
                'verbose_name_plural': 'historical analysis rules',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='Screening',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=kauri.common.ids.uuid7, editable=False, unique=True)),
                ('destination', models.CharField(blank=True, default='', max_length=128, verbose_name='destination')),
                ('network', models.CharField(blank=True, default='', max_length=24, verbose_name='network')),
                ('amount', kauri.common.models.MoneyField(verbose_name='amount')),
                ('reference', models.CharField(blank=True, default='', max_length=128, verbose_name="provider's id")),
                ('state', models.CharField(choices=[('waiting', 'To be asked'), ('pending', 'Asked, no answer yet'), ('ready', 'Answered'), ('refused', 'The provider refuses it')], default='waiting', max_length=8, verbose_name='state')),
                ('score', models.DecimalField(decimal_places=4, max_digits=5, null=True, verbose_name='score')),
                ('level', models.CharField(blank=True, default='', max_length=8, verbose_name='level')),
                ('signals', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder, verbose_name='signals')),
                ('answer', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder, verbose_name="provider's answer")),
                ('last_error', models.CharField(blank=True, default='', max_length=300, verbose_name='last error')),
                ('attempts', models.PositiveIntegerField(default=0, verbose_name='attempts')),
                ('next_attempt_at', models.DateTimeField(default=kauri.common.clock.now, verbose_name='next attempt')),
                ('outcome', models.CharField(blank=True, choices=[('pass', 'Clean enough'), ('hold', 'Held: a person decides'), ('freeze', 'Frozen')], db_index=True, default='', max_length=6, verbose_name='outcome')),
                ('decided_by_people', models.BooleanField(default=False, editable=False)),
                ('created_at', models.DateTimeField(default=kauri.common.clock.now, verbose_name='made')),
                ('asked_at', models.DateTimeField(null=True, verbose_name='asked')),
                ('answered_at', models.DateTimeField(null=True, verbose_name='answered')),
                ('currency', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.currency', verbose_name='currency')),
                ('order', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='screenings', to='order_core.order', verbose_name='order')),
                ('payin', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='screening', to='payment_provider.payin', verbose_name='payin')),
                ('provider', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.provider', verbose_name='provider')),
            ],
            options={
                'verbose_name': 'analysis',
                'verbose_name_plural': 'analyses',
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='ScreeningDecision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('actor_kind', models.CharField(choices=[('customer', 'customer'), ('operator', 'operator'), ('api_key', 'api_key'), ('provider', 'provider'), ('system', 'system')], max_length=16)),
                ('actor_id', models.CharField(max_length=64)),
                ('actor_label', models.CharField(max_length=254)),
                ('request_id', models.CharField(blank=True, default='', max_length=64)),
                ('outcome', models.CharField(choices=[('pass', 'Clean enough'), ('hold', 'Held: a person decides'), ('freeze', 'Frozen')], max_length=6, verbose_name='outcome')),
                ('reason', models.TextField(verbose_name='reason')),
                ('at', models.DateTimeField(default=kauri.common.clock.now, verbose_name='when')),
                ('screening', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='order_core.screening')),
            ],
            options={
                'verbose_name': 'decision on an analysis',
                'verbose_name_plural': 'decisions on analyses',
                'ordering': ('id',),
            },
        ),
        migrations.CreateModel(
            name='ScreeningPolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('is_enabled', models.BooleanField(default=True, verbose_name='switched on')),
                ('min_amount', kauri.common.models.MoneyField(default=Decimal('0'), verbose_name='least amount to analyse')),
                ('hold_score', models.DecimalField(decimal_places=4, default=Decimal('0.5'), max_digits=5, validators=[django.core.validators.MinValueValidator(Decimal('0')), django.core.validators.MaxValueValidator(Decimal('1'))], verbose_name='hold from this score')),
                ('freeze_score', models.DecimalField(decimal_places=4, default=Decimal('0.9'), max_digits=5, validators=[django.core.validators.MinValueValidator(Decimal('0')), django.core.validators.MaxValueValidator(Decimal('1'))], verbose_name='freeze from this score')),
                ('freeze_signals', models.CharField(blank=True, default='', help_text='names as the provider says them, with commas between', max_length=300, verbose_name='signals that freeze at once')),
                ('wait_minutes', models.PositiveIntegerField(default=30, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(10080)], verbose_name='longest wait for an answer, minutes')),
                ('currency', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.currency', verbose_name='currency')),
                ('provider', models.ForeignKey(limit_choices_to={'kind': 'screening'}, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.provider', verbose_name='analysis provider')),
            ],
            options={
                'verbose_name': 'analysis rule',
                'verbose_name_plural': 'analysis rules',
                'ordering': ('currency__sort',),
            },
        ),
        migrations.AddIndex(
            model_name='screening',
            index=models.Index(condition=models.Q(('state__in', ['waiting', 'pending'])), fields=['next_attempt_at'], name='screening_due'),
        ),
        migrations.AddIndex(
            model_name='screening',
            index=models.Index(fields=['destination', 'currency', '-id'], name='screening_destination'),
        ),
        migrations.AddConstraint(
            model_name='screening',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('destination', ''), ('payin__isnull', False)), models.Q(('payin__isnull', True), models.Q(('destination', ''), _negated=True)), _connector='OR'), name='screening_of_one_thing'),
        ),
        migrations.AddConstraint(
            model_name='screening',
            constraint=models.CheckConstraint(condition=models.Q(('score__isnull', True), models.Q(('score__gte', 0), ('score__lte', 1)), _connector='OR'), name='screening_score'),
        ),
        migrations.AddConstraint(
            model_name='screening',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('outcome', 'pass'), ('state__in', ['waiting', 'pending', 'refused']), _negated=True), ('decided_by_people', True), _connector='OR'), name='screening_passes_by_answer'),
        ),
        migrations.AddConstraint(
            model_name='screeningdecision',
            constraint=models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='screening_decision_says_why'),
        ),
        migrations.AddConstraint(
            model_name='screeningpolicy',
            constraint=models.CheckConstraint(condition=models.Q(('freeze_score__lte', 1), ('hold_score__gte', 0), ('hold_score__lte', models.F('freeze_score'))), name='screening_policy_scores'),
        ),
        migrations.AddConstraint(
            model_name='screeningpolicy',
            constraint=models.CheckConstraint(condition=models.Q(('min_amount__gte', 0), ('min_amount__lt', Decimal('100000000000000000000'))), name='screening_policy_min_amount'),
        ),
        migrations.AddConstraint(
            model_name='screeningpolicy',
            constraint=models.CheckConstraint(condition=models.Q(('wait_minutes__gte', 1), ('wait_minutes__lte', 10080)), name='screening_policy_wait'),
        ),
    ]
