"""The benchmark, the statistics, the report, the gate, the registry."""
