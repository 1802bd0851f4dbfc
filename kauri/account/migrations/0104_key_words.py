"""What a key may do with money is not called as the taking back of a proposal is."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('account', '0103_user_by_group'),
    ]

    operations = [
        migrations.AlterField(
            model_name='apikey',
            name='scopes',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('read', 'Read'), ('trade', 'Trade'), ('withdraw', 'Withdraw money'), ('invoice', 'Invoice')], max_length=16), size=None, verbose_name='scopes'),
        ),
    ]
