"""Providers of transaction analysis."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0004_proposal_laws'),
    ]

    operations = [
        migrations.AlterField(
            model_name='historicalprovider',
            name='kind',
            field=models.CharField(choices=[('payment', 'Payment provider'), ('exchange', 'Exchange provider'), ('verification', 'Verification provider'), ('screening', 'Transaction analysis')], max_length=16, verbose_name='kind'),
        ),
        migrations.AlterField(
            model_name='provider',
            name='kind',
            field=models.CharField(choices=[('payment', 'Payment provider'), ('exchange', 'Exchange provider'), ('verification', 'Verification provider'), ('screening', 'Transaction analysis')], max_length=16, verbose_name='kind'),
        ),
    ]
