"""frontends/admin."""
