"""engine/adapters/store."""
