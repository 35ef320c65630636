"""Rollups, and the dead list of the sinks."""

from django.db import migrations, models

SCHEMA = r"""
-- Aggregates per vehicle, source and hour, all signals in one row of arrays. "minutes" counts the minutes that
-- the minute_*
-- arrays hold for every signal (signal by signal), 0 where the hour has too few frames for them to be worth
-- their space.
CREATE TABLE telemetry_rollup (
    organization_id int4 NOT NULL,
    vehicle_id int4 NOT NULL,
    hour timestamptz NOT NULL,
    source_id int4 NOT NULL,
    minutes int4 NOT NULL,
    signals int4[] NOT NULL,
    counts int4[] NOT NULL,
    minima float8[] NOT NULL,
    maxima float8[] NOT NULL,
    sums float8[] NOT NULL,
    lasts float8[] NOT NULL,
    minute_counts int4[] NOT NULL,
    minute_minima float8[] NOT NULL,
    minute_maxima float8[] NOT NULL,
    minute_sums float8[] NOT NULL,
    minute_lasts float8[] NOT NULL,
    PRIMARY KEY (vehicle_id, hour, source_id)
) PARTITION BY RANGE (hour);

-- The hours (since 1970) that a batch touches, where it spans more than two; else empty, and its times say it.
ALTER TABLE telemetry_batch ADD COLUMN hours int4[] NOT NULL DEFAULT '{}';
"""


class Migration(migrations.Migration):
    dependencies = [("telemetry", "0002_store")]

    operations = [
        migrations.RunSQL(
            SCHEMA,
            "DROP TABLE telemetry_rollup; ALTER TABLE telemetry_batch DROP COLUMN hours;",
        ),
        migrations.AddField(
            "sinkprogress",
            "dead_at",
            models.DateTimeField(null=True, help_text="Set after too many failures; not tried again until revived."),
        ),
    ]
