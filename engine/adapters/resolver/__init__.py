"""Resolvers: host names over DNS, and in memory."""
