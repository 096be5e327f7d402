"""frontends/control."""
