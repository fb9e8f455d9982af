"""The stack on engines and beside programs that exist already. Deletable."""
