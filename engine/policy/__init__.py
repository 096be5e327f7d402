"""engine/policy."""
