"""Sessions, authenticators with sealed secrets, recovery codes, allowed addresses, links of letters."""

import django.db.models.deletion
import kauri.account.models.security
import kauri.common.clock
import kauri.common.crypto
import kauri.common.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('account', '0002_numbers_and_telegram'),
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='OneTimeLink',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=kauri.common.ids.uuid7, editable=False, unique=True)),
                ('purpose', models.CharField(choices=[('reset', 'reset'), ('freeze', 'freeze')], max_length=8)),
                ('created_at', models.DateTimeField(default=kauri.common.clock.now)),
                ('expires_at', models.DateTimeField()),
                ('used_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='RecoveryCode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code_hash', models.CharField(max_length=64, unique=True)),
                ('created_at', models.DateTimeField(default=kauri.common.clock.now)),
                ('used_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='RefreshToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('token_hash', models.CharField(max_length=64, unique=True)),
                ('jti', models.CharField(max_length=32, unique=True)),
                ('created_at', models.DateTimeField(default=kauri.common.clock.now)),
                ('used_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Session',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=kauri.common.ids.uuid7, editable=False, unique=True)),
                ('epoch', models.PositiveIntegerField()),
                ('ip', models.GenericIPAddressField(null=True, verbose_name='address')),
                ('user_agent', models.CharField(blank=True, default='', max_length=300, verbose_name='device')),
                ('started_at', models.DateTimeField(default=kauri.common.clock.now, verbose_name='began')),
                ('seen_at', models.DateTimeField(default=kauri.common.clock.now, verbose_name='last refreshed')),
                ('ended_at', models.DateTimeField(null=True, verbose_name='ended')),
                ('end_reason', models.CharField(blank=True, choices=[('signed_out', 'signed out'), ('password', 'new password'), ('reused', 'a refresh token was used twice'), ('expired', 'expired'), ('operator', 'ended by an operator'), ('disabled', 'account disabled'), ('frozen', 'frozen by its owner')], default='', max_length=12, verbose_name='why')),
            ],
            options={
                'verbose_name': 'session',
                'verbose_name_plural': 'sessions',
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='TOTPDevice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='The human-readable name of this device.', max_length=64)),
                ('confirmed', models.BooleanField(default=True, help_text='Is this device ready for use?')),
                ('throttling_failure_timestamp', models.DateTimeField(blank=True, default=None, help_text='A timestamp of the last failed verification attempt. Null if last attempt succeeded.', null=True)),
                ('throttling_failure_count', models.PositiveIntegerField(default=0, help_text='Number of successive failed attempts.')),
                ('public_id', models.UUIDField(default=kauri.common.ids.uuid7, editable=False, unique=True)),
                ('key', kauri.common.crypto.EncryptedTextField(default=kauri.account.models.security.new_key)),
                ('last_t', models.BigIntegerField(default=-1)),
                ('created_at', models.DateTimeField(default=kauri.common.clock.now, editable=False)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='WhiteIp',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=kauri.common.ids.uuid7, editable=False, unique=True)),
                ('ip', models.GenericIPAddressField(verbose_name='address')),
                ('created_at', models.DateTimeField(default=kauri.common.clock.now, verbose_name='asked for')),
                ('confirmed_at', models.DateTimeField(null=True, verbose_name='confirmed')),
            ],
            options={
                'verbose_name': 'allowed address',
                'verbose_name_plural': 'allowed addresses',
                'ordering': ('id',),
            },
        ),
        migrations.AlterModelOptions(
            name='user',
            options={'ordering': ('-id',), 'permissions': (('verify_user', 'Can verify customers'), ('disable_user', 'Can disable accounts'), ('secure_user', 'Can end sessions and lift address lists')), 'verbose_name': 'customer', 'verbose_name_plural': 'customers'},
        ),
        migrations.AddField(
            model_name='user',
            name='anti_phishing_code',
            field=kauri.common.crypto.EncryptedTextField(blank=True, default='', help_text='shown in every letter to the customer', verbose_name='anti-phishing code'),
        ),
        migrations.AddField(
            model_name='user',
            name='frozen_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='frozen by its owner'),
        ),
        migrations.AddField(
            model_name='user',
            name='security_changed_at',
            field=models.DateTimeField(editable=False, help_text='money that leaves soon after this is looked at by an operator', null=True, verbose_name='security changed'),
        ),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(('frozen_at__isnull', True), ('is_active', False), _connector='OR'), name='user_frozen_is_not_active'),
        ),
        migrations.AddField(
            model_name='onetimelink',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='recoverycode',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='session',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='sessions', to=settings.AUTH_USER_MODEL, verbose_name='customer'),
        ),
        migrations.AddField(
            model_name='refreshtoken',
            name='session',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='refresh_tokens', to='account.session'),
        ),
        migrations.AddField(
            model_name='totpdevice',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='session',
            name='second_factor',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='account.totpdevice'),
        ),
        migrations.AddField(
            model_name='whiteip',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='white_ips', to=settings.AUTH_USER_MODEL, verbose_name='customer'),
        ),
        migrations.AddIndex(
            model_name='onetimelink',
            index=models.Index(fields=['user', 'purpose'], name='one_time_link_of'),
        ),
        migrations.AddConstraint(
            model_name='refreshtoken',
            constraint=models.UniqueConstraint(condition=models.Q(('used_at__isnull', True)), fields=('session',), name='refresh_token_one_unused'),
        ),
        migrations.AddConstraint(
            model_name='totpdevice',
            constraint=models.UniqueConstraint(condition=models.Q(('confirmed', True)), fields=('user',), name='totp_one_per_account'),
        ),
        migrations.AddIndex(
            model_name='session',
            index=models.Index(fields=['user', 'ended_at'], name='session_open_of'),
        ),
        migrations.AddConstraint(
            model_name='session',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('end_reason', ''), ('ended_at__isnull', True)), models.Q(('ended_at__isnull', False), models.Q(('end_reason', ''), _negated=True)), _connector='OR'), name='session_ends_for_a_reason'),
        ),
        migrations.AddConstraint(
            model_name='whiteip',
            constraint=models.UniqueConstraint(fields=('user', 'ip'), name='white_ip_once'),
        ),
    ]
