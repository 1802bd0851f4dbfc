from django.db import migrations, models


def name_chains(apps, schema_editor):
    """A counter belongs to a chain, not to a provider: two providers may share an address."""
    counters = apps.get_model('payment_provider', 'NonceCounter')
    highest = {}
    for row in counters.objects.select_related('provider').order_by('pk'):
        row.chain = f"evm:{row.provider.settings.get('chain_id')}"
        other = highest.setdefault((row.chain, row.address), row)
        if other is row:
            row.save()
            continue
        other.next_nonce = max(other.next_nonce, row.next_nonce)
        other.save()
        row.delete()


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0001_initial'),
        ('payment_provider', '0001_initial'),
    ]

    operations = [
        migrations.RemoveConstraint(model_name='noncecounter', name='nonce_counter_once'),
        migrations.AddField(
            model_name='noncecounter',
            name='chain',
            field=models.CharField(default='', max_length=64),
            preserve_default=False,
        ),
        migrations.RunPython(name_chains, migrations.RunPython.noop),
        migrations.RemoveField(model_name='noncecounter', name='provider'),
        migrations.AddConstraint(
            model_name='noncecounter',
            constraint=models.UniqueConstraint(fields=('chain', 'address'), name='nonce_counter_once'),
        ),
    ]
