from django.db import migrations

# SQLite finds rows of these by their keys alone: kept in the order of that key, each needs one tree instead of two.
# Columns are Django's own.
NODES = [
    """CREATE TABLE new_nodes (
        "key" BLOB NOT NULL PRIMARY KEY, "parent" BLOB NOT NULL, "blob" BLOB NOT NULL,
        "depth" integer unsigned NOT NULL CHECK ("depth" >= 0)
    ) WITHOUT ROWID""",
    "INSERT INTO new_nodes SELECT key, parent, blob, depth FROM nodes",
    "DROP TABLE nodes",
    "ALTER TABLE new_nodes RENAME TO nodes",
    "CREATE INDEX nodes_parent ON nodes (parent)",
    "CREATE INDEX nodes_blob ON nodes (blob)",
]
# A key of the type INTEGER (not bigint) is the row's own number.
DOCUMENTS = [
    """CREATE TABLE new_search_documents (
        "id" INTEGER NOT NULL PRIMARY KEY, "exchange_id" bigint NULL, "blob" BLOB NOT NULL,
        "chunk" integer unsigned NOT NULL CHECK ("chunk" >= 0)
    )""",
    "INSERT INTO new_search_documents SELECT id, exchange_id, blob, chunk FROM search_documents",
    "DROP TABLE search_documents",
    "ALTER TABLE new_search_documents RENAME TO search_documents",
]
# The recorder merges in quiet moments: then two trees of a size are enough to make one of them.
MERGE = ["INSERT INTO search_index (search_index, rank) VALUES ('usermerge', 2)"]


def change(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        for statement in (*NODES, *DOCUMENTS, *MERGE):
            schema_editor.execute(statement)


class Migration(migrations.Migration):

    dependencies = [
        ('record', '0006_pinned'),
    ]

    operations = [
        migrations.RunPython(change, migrations.RunPython.noop),
    ]
