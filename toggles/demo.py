"""The demo account that STACK_DEMO=on creates. Both values are public: docs/security.md prints them."""

DEMO_NAME = "demo"
DEMO_PASSWORD = "look-around-first"  # noqa: S105
