"""Where this copy of the stack is."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
