"""The store's own tables: they have no model, since nothing but `telemetry.store` speaks to them."""

from django.db import migrations

SCHEMA = r"""
-- One row per vehicle, source and instant; the columns' order leaves no padding. No foreign keys, no DEFAULT
-- partition: see docs/architecture.md.
CREATE TABLE telemetry_frame (
    organization_id int4 NOT NULL,
    vehicle_id int4 NOT NULL,
    time timestamptz NOT NULL,
    source_id int4 NOT NULL,
    signal_set_id int4 NOT NULL,
    "values" float8[] NOT NULL,
    texts jsonb,
    PRIMARY KEY (vehicle_id, time, source_id)
) PARTITION BY RANGE (time);

-- Every signal's newest value, time and source, and the counter that puts a vehicle's batches in order.
CREATE TABLE telemetry_latest (
    vehicle_id int4 PRIMARY KEY,
    organization_id int4 NOT NULL,
    version int8 NOT NULL,
    first_time timestamptz,
    frame_time timestamptz,
    prior_time timestamptz,
    received_at timestamptz NOT NULL,
    signals int4[] NOT NULL,
    sources int4[] NOT NULL,
    times timestamptz[] NOT NULL,
    "values" float8[] NOT NULL,
    texts text[] NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX telemetry_latest_organization ON telemetry_latest (organization_id);

-- The outbox: what was committed, for the sinks.
CREATE TABLE telemetry_batch (
    vehicle_id int4 NOT NULL,
    version int8 NOT NULL,
    organization_id int4 NOT NULL,
    source_id int4 NOT NULL,
    batch uuid NOT NULL,
    boot text,
    seq int8,
    first_time timestamptz NOT NULL,
    last_time timestamptz NOT NULL,
    frames int4 NOT NULL,
    readings int4 NOT NULL,
    ahead int4 NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (vehicle_id, version)
);
"""


class Migration(migrations.Migration):
    dependencies = [("telemetry", "0001_initial")]

    operations = [
        migrations.RunSQL(
            SCHEMA,
            "DROP TABLE telemetry_batch; DROP TABLE telemetry_latest; DROP TABLE telemetry_frame;",
        ),
        migrations.RunSQL(
            "CREATE INDEX telemetry_signalset_by_signal ON telemetry_signalset USING gin (signals)",
            "DROP INDEX telemetry_signalset_by_signal",
        ),
    ]
