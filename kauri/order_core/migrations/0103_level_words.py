"""How bad an analysis found it, in words of the reader."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('order_core', '0102_speed'),
    ]

    operations = [
        migrations.AlterField(
            model_name='screening',
            name='level',
            field=models.CharField(blank=True, choices=[('low', 'low'), ('medium', 'medium'), ('high', 'high'), ('severe', 'severe')], default='', max_length=8, verbose_name='level'),
        ),
    ]
