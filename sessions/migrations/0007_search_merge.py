from django.db import migrations


def set_merge(apps, schema_editor):
    # The recorder merges in quiet moments: then two trees of a size are enough to make one of them.
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("INSERT INTO search_index (search_index, rank) VALUES ('usermerge', 2)")


class Migration(migrations.Migration):

    dependencies = [
        ('record', '0005_prices'),
    ]

    operations = [
        migrations.RunPython(set_merge, migrations.RunPython.noop),
    ]
