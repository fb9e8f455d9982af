"""The folder that holds this copy of the stack."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
