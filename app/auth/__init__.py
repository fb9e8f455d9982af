"""Logging in and out, and what people may do to their own account and sessions.

The pages only; what they mean is the SecurityManager's (app/security).
"""

from app.auth.views import blueprint

__all__ = ["blueprint"]
