"""Rollups, and the dead list of the sinks."""

from pathlib import Path

from django.db import migrations, models

SCHEMA = Path(__file__).resolve().parent.parent / "store" / "rollups.sql"


class Migration(migrations.Migration):
    dependencies = [("telemetry", "0002_store")]

    operations = [
        migrations.RunSQL(
            SCHEMA.read_text(),
            "DROP TABLE telemetry_rollup; ALTER TABLE telemetry_batch DROP COLUMN hours;",
        ),
        migrations.AddField(
            "sinkprogress",
            "dead_at",
            models.DateTimeField(null=True, help_text="Set after too many failures; not tried again until revived."),
        ),
    ]
