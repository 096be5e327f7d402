"""What events, commands and queries look like, for other systems: read off the types themselves."""
