"""When, where, how often, and who approves: Prefect flows and the command line."""
