"""frontends/wire."""
