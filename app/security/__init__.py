"""Accounts: authentication and permissions.

Start with manager.py: every part of this package is one of its class attributes.
"""

from app.security.access import fresh_login_required, requires, security
from app.security.login import current_user, login_required
from app.security.manager import SecurityManager
from app.security.users import User

__all__ = [
    "SecurityManager",
    "User",
    "current_user",
    "fresh_login_required",
    "login_required",
    "requires",
    "security",
]
