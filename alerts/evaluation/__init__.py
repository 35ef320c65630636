"""Rules meet the store: a sink of committed batches, timers, corrections, facts, and the alerts that come of them."""
