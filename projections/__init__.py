"""The projections fold: events in, netmaps in memory, deltas out."""
