"""The words all rooms share: degradations, table schemas, the shard store, settings."""
