from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("telemetry", "0004_commands")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE telemetry_batch ADD COLUMN signals int4[] NOT NULL DEFAULT '{}'",
            "ALTER TABLE telemetry_batch DROP COLUMN signals",
        ),
    ]
