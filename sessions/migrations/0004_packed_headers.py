from django.db import migrations, models

import orjson

import sessions.packing

TO_BYTES = "ALTER TABLE exchanges ALTER COLUMN {0} TYPE bytea USING convert_to({0}::text, 'UTF8')"


def to_bytes(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for name in ("request_headers", "response_headers"):
            schema_editor.execute(TO_BYTES.format(name))


def to_json(apps, schema_editor):
    """The way back: text again, whatever it is packed as."""
    connection = schema_editor.connection
    exchange = apps.get_model("record", "Exchange")
    with connection.cursor() as cursor:
        for row in exchange.objects.only("request_headers", "response_headers").iterator():
            values = [orjson.dumps(v).decode() for v in (row.request_headers, row.response_headers)]
            if connection.vendor == "postgresql":
                values = [value.encode() for value in values]
            cursor.execute("UPDATE exchanges SET request_headers = %s, response_headers = %s WHERE id = %s", [*values, row.pk])
    if connection.vendor == "postgresql":
        for name in ("request_headers", "response_headers"):
            schema_editor.execute(f"ALTER TABLE exchanges ALTER COLUMN {name} TYPE jsonb USING convert_from({name}, 'UTF8')::jsonb")


class AlterField(migrations.AlterField):
    """On SQLite, where values stay as they are; PostgreSQL has to be told how to convert them."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    """Headers are packed. Rows from before stay as they are, and are read as they are."""

    dependencies = [("record", "0003_stats")]

    operations = [
        migrations.RunPython(to_bytes, to_json),
        AlterField(
            "exchange",
            "request_headers",
            sessions.packing.PackedJSONField(default=list, help_text="pairs, in order, credentials left out"),
        ),
        AlterField("exchange", "response_headers", sessions.packing.PackedJSONField(default=list)),
        migrations.AlterField(
            "exchange",
            "answer",
            models.BinaryField(
                default=b"", help_text="Blob: the answer as one JSON object, where `response` does not tell it", max_length=16
            ),
        ),
    ]
