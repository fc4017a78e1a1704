from django.db import migrations, models

# Tables alone: what was recorded before is indexed by the recorder, in the background.
SQLITE = ["CREATE VIRTUAL TABLE search_index USING fts5(words, compounds, content='', tokenize='ascii')"]
POSTGRES = [
    "ALTER TABLE search_documents ADD COLUMN vector tsvector",
    # Long vectors leave their rows, so that counting a common word's documents reads fewer pages.
    "ALTER TABLE search_documents SET (toast_tuple_target = 128)",
    "CREATE INDEX search_index ON search_documents USING gin (vector)",
]


def create(apps, schema_editor):
    for statement in POSTGRES if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TABLE search_index")


class Migration(migrations.Migration):

    dependencies = [
        ('record', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='SearchDocument',
            fields=[
                ('id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('exchange_id', models.BigIntegerField(help_text='None for a title', null=True)),
                ('blob', models.BinaryField(help_text='Blob of the message or answer; empty: the exchange has the text', max_length=16)),
                ('chunk', models.PositiveIntegerField(default=0, help_text='which part of a long text')),
            ],
            options={
                'db_table': 'search_documents',
            },
        ),
        migrations.CreateModel(
            name='SearchSession',
            fields=[
                ('session_id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('title', models.CharField(blank=True, help_text='as it is indexed', max_length=200)),
                ('documents', models.PositiveIntegerField(default=0, help_text='the number of the next one')),
                ('upto', models.BigIntegerField(help_text='the last exchange that is indexed; None: all of them are', null=True)),
            ],
            options={
                'db_table': 'search_sessions',
            },
        ),
        migrations.RunPython(create, drop),
    ]
