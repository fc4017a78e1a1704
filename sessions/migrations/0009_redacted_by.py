from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('record', '0008_redactions'),
    ]

    operations = [
        migrations.AddField(
            model_name='exchange',
            name='redacted_by',
            field=models.CharField(blank=True, default='', help_text='the policy that redacted it (pii.policy); empty: none did', max_length=16),
            preserve_default=False,
        ),
    ]
