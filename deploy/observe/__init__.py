"""Prometheus, Alertmanager and exporters beside the stack; docs/operations.md has the commands."""
