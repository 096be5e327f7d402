"""engine/adapters/bus."""
