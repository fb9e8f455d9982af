"""The demo account that STACK_DEMO=on creates. docs/security.md publishes its password."""

DEMO_NAME = "demo"
DEMO_PASSWORD = "look-around-first"  # noqa: S105
