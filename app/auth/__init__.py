"""The pages for logging in and out and for managing one's own account and sessions.

The logic is in the SecurityManager (app/security).
"""

from app.auth.views import blueprint

__all__ = ["blueprint"]
