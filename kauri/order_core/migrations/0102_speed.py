"""An analysis of incoming money says whose it is: what a limited operator sees goes by its order."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0100_proposal_batch'),
        ('order_core', '0101_ask_rounds'),
        ('payment_provider', '0093_desk_indexes'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='screening',
            constraint=models.CheckConstraint(condition=models.Q(('payin__isnull', True), ('order__isnull', False), _connector='OR'), name='screening_of_payin_has_order'),
        ),
    ]
