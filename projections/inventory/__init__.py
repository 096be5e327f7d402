"""projections/inventory."""
