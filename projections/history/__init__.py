"""projections/history."""
