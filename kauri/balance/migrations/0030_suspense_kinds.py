"""Transfers of unmatched money."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('balance', '0007_batches'),
    ]

    operations = [
        migrations.AlterField(
            model_name='transfer',
            name='kind',
            field=models.SmallIntegerField(choices=[(1, 'Deposit'), (2, 'Unmatched money'), (3, 'Unmatched money: sent back'), (4, 'Unmatched money: kept'), (10, 'Withdrawal: hold'), (11, 'Withdrawal: capture'), (12, 'Withdrawal: release'), (15, 'Network cost'), (20, 'Internal movement'), (21, 'Internal movement: hold'), (22, 'Internal movement: capture'), (23, 'Internal movement: release'), (30, 'Adjustment'), (40, 'Opening balance'), (90, 'Reversal')], verbose_name='kind'),
        ),
    ]
