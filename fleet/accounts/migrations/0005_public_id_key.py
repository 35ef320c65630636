"""The key of public ids (`fleet.lib.public_ids`): one row, made once, in a table that no model describes."""

import secrets

from django.db import migrations


def make_key(apps, schema_editor):
    schema_editor.execute("INSERT INTO public_id_key (key) VALUES (%s)", [secrets.token_bytes(16)])


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0004_retention_bounds"),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE TABLE public_id_key (key bytea NOT NULL CHECK (length(key) = 16),"
            " only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one))",
            "DROP TABLE public_id_key",
        ),
        migrations.RunPython(make_key, migrations.RunPython.noop),
    ]
