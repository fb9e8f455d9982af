"""Brings one copy of the stack up, tells its address and what it has used, takes it down."""
