"""`flask user …`: accounts from the command line, for the first admin and for emergencies.

A password comes from a prompt or from standard input, never from an argument: every user of the
machine can read arguments (`ps`), and the shell's history keeps them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import click
from flask import current_app
from flask.cli import AppGroup

from app.redis_client import StoreUnavailable
from app.security.hashing import HashingBusy
from app.security.names import BadName
from app.security.passwords import WeakPassword
from app.security.users import NameTaken, User

if TYPE_CHECKING:
    from app.security.manager import SecurityManager

PAGE = 500

_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input (one line)."
)


class _UserCommands(AppGroup):
    """Prints expected errors as one line and exits with code 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (BadName, WeakPassword) as error:
            raise click.ClickException(str(error)) from None
        except NameTaken:
            raise click.ClickException("An account with this name exists already.") from None
        except HashingBusy:
            raise click.ClickException("Too many logins are in progress; try again.") from None
        except StoreUnavailable as error:
            raise click.ClickException(f"The user store is unavailable: {error}") from None


user_commands = _UserCommands("user", help="Create, disable and change accounts.")


@user_commands.command("create")
@click.argument("name")
@click.option("--admin", is_flag=True, help="Grant the role admin.")
@click.option("--role", "roles", multiple=True, help="Grant this role; may be repeated.")
@_password_stdin
def create(name: str, admin: bool, roles: tuple[str, ...], password_stdin: bool) -> None:
    """Create the account NAME. Prompts for its password."""
    wanted = _known_roles([*roles, *(["admin"] if admin else [])])
    user = _security().register(name, _new_password(password_stdin), roles=wanted)
    click.echo(f"Created {user.name}" + (f" ({', '.join(user.roles)})." if user.roles else "."))


@user_commands.command("set-password")
@click.argument("name")
@_password_stdin
def set_password(name: str, password_stdin: bool) -> None:
    """Set the password of NAME and end its sessions."""
    user = _user(name)
    _security().set_password(user, _new_password(password_stdin))
    click.echo(f"Changed the password of {user.name} and ended all sessions.")


@user_commands.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """Disable the account NAME and end its sessions."""
    user = _user(name)
    _security().set_active(user, False)
    click.echo(f"Disabled {user.name} and ended all sessions.")


@user_commands.command("enable")
@click.argument("name")
def enable(name: str) -> None:
    """Enable the account NAME again."""
    user = _user(name)
    _security().set_active(user, True)
    click.echo(f"Enabled {user.name}.")


@user_commands.command("delete")
@click.argument("name")
@click.confirmation_option(prompt="Delete this account permanently?")
def delete(name: str) -> None:
    """Delete the account NAME and end its sessions."""
    user = _user(name)
    _security().delete(user)
    click.echo(f"Deleted {user.name}.")


@user_commands.command("grant")
@click.argument("name")
@click.argument("roles", nargs=-1, required=True)
def grant(name: str, roles: tuple[str, ...]) -> None:
    """Grant ROLES to NAME and end its sessions."""
    user = _user(name)
    _security().change_roles(user, grant=_known_roles(roles))
    click.echo(f"{user.name} now has: {', '.join(_user(name).roles)}.")


@user_commands.command("revoke")
@click.argument("name")
@click.argument("roles", nargs=-1, required=True)
def revoke(name: str, roles: tuple[str, ...]) -> None:
    """Revoke ROLES from NAME and end its sessions."""
    user = _user(name)
    _security().change_roles(user, revoke=roles)
    click.echo(f"{user.name} now has: {', '.join(_user(name).roles) or 'no roles'}.")


@user_commands.command("list")
def list_users() -> None:
    """List all accounts: name, state, roles."""
    start = 0
    while users := _security().users.page(start, PAGE):
        for user in users:
            state = "active" if user.is_active else "disabled"
            click.echo(f"{user.name}\t{state}\t{','.join(user.roles) or '-'}")
        start += PAGE


def _security() -> SecurityManager:
    return cast("SecurityManager", current_app.extensions["security"])


def _user(name: str) -> User:
    user = _security().find(name)
    if user is None:
        raise click.ClickException(f"No account {name!r}; `flask user list` lists all.")
    return user


def _known_roles(roles: Iterable[str]) -> list[str]:
    wanted = list(roles)
    known = _security().roles
    for role in wanted:
        if role not in known:
            raise click.ClickException(f"No role {role!r}; the roles are: {', '.join(known)}.")
    return wanted


def _new_password(from_stdin: bool) -> str:
    if from_stdin:
        # Only the line end is removed: a password is used exactly as given.
        return sys.stdin.readline().removesuffix("\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt="Repeat the password"))
