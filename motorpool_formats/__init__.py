"""What the portal and the collector have in common: spellings of units, and conversions between them."""
