"""On-board diagnostics: the adapter's dialogue, what answers mean, parameters, trouble codes and formulas."""
