"""The wish to have deposits converted."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('account', '0030_telegram_links'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='auto_conversion',
            field=models.CharField(blank=True, default='', help_text="the customer's wish: a currency's code, or nothing", max_length=12, verbose_name='convert deposits to'),
        ),
    ]
