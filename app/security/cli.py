"""`flask user …`: accounts from the command line, for the first admin and for emergencies.

A password is asked for, or read from standard input, and never an argument: those can be read by
everybody on the machine (`ps`) and stay in the shell's history.
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
    """Turns what can go wrong into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (BadName, WeakPassword) as error:
            raise click.ClickException(str(error)) from None
        except NameTaken:
            raise click.ClickException("There is an account of that name already.") from None
        except HashingBusy:
            raise click.ClickException("Too many logins at the moment; try again.") from None
        except StoreUnavailable as error:
            raise click.ClickException(f"The user store does not answer: {error}") from None


user_commands = _UserCommands("user", help="Create, disable and change accounts.")


@user_commands.command("create")
@click.argument("name")
@click.option("--admin", is_flag=True, help="Grant the role admin.")
@click.option("--role", "roles", multiple=True, help="Grant this role; may be repeated.")
@_password_stdin
def create(name: str, admin: bool, roles: tuple[str, ...], password_stdin: bool) -> None:
    """Create the account NAME; asks for its password."""
    wanted = _known_roles([*roles, *(["admin"] if admin else [])])
    user = _security().register(name, _new_password(password_stdin), roles=wanted)
    click.echo(f"Created {user.name}" + (f" ({', '.join(user.roles)})." if user.roles else "."))


@user_commands.command("set-password")
@click.argument("name")
@_password_stdin
def set_password(name: str, password_stdin: bool) -> None:
    """Give NAME another password and end their sessions."""
    user = _user(name)
    _security().set_password(user, _new_password(password_stdin))
    click.echo(f"Changed the password of {user.name}; all their sessions have ended.")


@user_commands.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """Refuse NAME from now on and end their sessions."""
    user = _user(name)
    _security().set_active(user, False)
    click.echo(f"Disabled {user.name}; all their sessions have ended.")


@user_commands.command("enable")
@click.argument("name")
def enable(name: str) -> None:
    """Let NAME log in again."""
    user = _user(name)
    _security().set_active(user, True)
    click.echo(f"Enabled {user.name}.")


@user_commands.command("delete")
@click.argument("name")
@click.confirmation_option(prompt="Delete this account for ever?")
def delete(name: str) -> None:
    """Delete the account NAME and end its sessions."""
    user = _user(name)
    _security().delete(user)
    click.echo(f"Deleted {user.name}.")


@user_commands.command("grant")
@click.argument("name")
@click.argument("roles", nargs=-1, required=True)
def grant(name: str, roles: tuple[str, ...]) -> None:
    """Grant ROLES to NAME; they log in again."""
    user = _user(name)
    _security().change_roles(user, grant=_known_roles(roles))
    click.echo(f"{user.name} now has {', '.join(_user(name).roles)}.")


@user_commands.command("revoke")
@click.argument("name")
@click.argument("roles", nargs=-1, required=True)
def revoke(name: str, roles: tuple[str, ...]) -> None:
    """Take ROLES from NAME; they log in again."""
    user = _user(name)
    _security().change_roles(user, revoke=roles)
    click.echo(f"{user.name} now has {', '.join(_user(name).roles) or 'no roles'}.")


@user_commands.command("list")
def list_users() -> None:
    """Print every account: name, state, roles."""
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
        raise click.ClickException(f"There is no account {name!r}; `flask user list` shows all.")
    return user


def _known_roles(roles: Iterable[str]) -> list[str]:
    wanted = list(roles)
    known = _security().roles
    for role in wanted:
        if role not in known:
            raise click.ClickException(f"There is no role {role!r}; known are {', '.join(known)}.")
    return wanted


def _new_password(from_stdin: bool) -> str:
    if from_stdin:
        # Only the line's end goes: a password is used exactly as it is given.
        return sys.stdin.readline().removesuffix("\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt="The same again"))
