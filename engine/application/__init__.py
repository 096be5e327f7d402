"""engine/application."""
