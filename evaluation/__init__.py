"""The benchmark, the statistics, the report, the gate and the registry."""
