"""The store's own tables: they have no model, since nothing but `telemetry.store` speaks to them."""

from pathlib import Path

from django.db import migrations

SCHEMA = Path(__file__).resolve().parent.parent / "store" / "schema.sql"


class Migration(migrations.Migration):
    dependencies = [("telemetry", "0001_initial")]

    operations = [
        migrations.RunSQL(
            SCHEMA.read_text(),
            "DROP TABLE telemetry_batch; DROP TABLE telemetry_latest; DROP TABLE telemetry_frame;",
        ),
        migrations.RunSQL(
            "CREATE INDEX telemetry_signalset_by_signal ON telemetry_signalset USING gin (signals)",
            "DROP INDEX telemetry_signalset_by_signal",
        ),
    ]
