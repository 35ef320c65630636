"""Everything that speaks a third party's language, one folder each; they do not know each other."""
