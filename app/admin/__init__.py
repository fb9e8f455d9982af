"""Managing accounts: for people with the permission `users.manage`."""

from app.admin.views import blueprint

__all__ = ["blueprint"]
