"""Account management, for users with the permission `users.manage`."""

from app.admin.views import blueprint

__all__ = ["blueprint"]
