"""The stack in containers: one Compose project a copy, driven through the ``docker`` command."""
