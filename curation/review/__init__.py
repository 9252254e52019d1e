"""Human review of pairs: a page, durable decisions, agreement, export for `assemble`."""
