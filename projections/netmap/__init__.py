"""projections/netmap."""
