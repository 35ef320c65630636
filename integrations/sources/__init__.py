"""Where readings come from, beside the portal's own format."""
