"""What an operator needs from the second day on, one command a module; `docs/day-two.md` shows it.

Deletable. It drives a stack that `stack/` has started, and nothing else needs it.
"""
