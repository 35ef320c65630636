"""What carries messages of alerts: one module per kind of channel."""
