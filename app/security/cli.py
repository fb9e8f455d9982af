"""`flask user …`: accounts from the command line, for the first admin and for emergencies.

A password comes from a prompt or from standard input, never from an argument: every user of the
machine can read arguments (`ps`), and the shell's history keeps them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from flask.cli import AppGroup

from app.redis_client import StoreUnavailable
from app.security.access import security
from app.security.hashing import HashingBusy
from app.security.manager import UserGone
from app.security.names import BadName
from app.security.passwords import WeakPassword
from app.security.users import NameTaken, User
from toggles.closed_pipe import quiet_exit

PAGE = 500


class _UserCommands(AppGroup):
    """Prints expected errors as one line and exits with code 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            with quiet_exit():
                return super().invoke(ctx)
        except (BadName, WeakPassword) as error:
            message = str(error)
        except NameTaken:
            message = "An account with this name exists already."
        except UserGone:
            message = "The account was deleted meanwhile."
        except HashingBusy:
            message = "Too many logins are in progress; try again."
        except StoreUnavailable as error:
            message = f"The user store is unavailable: {error}"
        raise click.ClickException(message)


def _user(_ctx: object, _param: object, name: str) -> User:
    user = security.find(name)
    if user is None:
        raise click.ClickException(f"No account {name!r}; `flask user list` lists all.")
    return user


def _known_roles(_ctx: object, _param: object, roles: tuple[str, ...]) -> tuple[str, ...]:
    for role in roles:
        if role not in security.roles:
            known = ", ".join(security.roles)
            raise click.ClickException(f"No role {role!r}; the roles are: {known}.")
    return roles


_account = click.argument("user", metavar="NAME", callback=_user)
_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input (one line)."
)
user_commands = _UserCommands("user", help="Create, disable and change accounts.")


@user_commands.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="Grant the role admin.")
@click.option("--role", "roles", multiple=True, callback=_known_roles, help="May be repeated.")
@_password_stdin
def create(name: str, admin: bool, roles: tuple[str, ...], password_stdin: bool) -> None:
    """Create the account NAME. Prompts for its password."""
    wanted = (*roles, "admin") if admin else roles
    user = security.register(name, _new_password(password_stdin), roles=wanted)
    click.echo(f"Created {user.name} ({', '.join(user.roles) or 'no roles'}).")


@user_commands.command()
@_account
@_password_stdin
def set_password(user: User, password_stdin: bool) -> None:
    """Set the password of NAME and end its sessions."""
    security.set_password(user, _new_password(password_stdin))
    click.echo(f"Changed the password of {user.name} and ended all sessions.")


@user_commands.command()
@_account
def disable(user: User) -> None:
    """Disable the account NAME and end its sessions."""
    security.set_active(user, False)
    click.echo(f"Disabled {user.name} and ended all sessions.")


@user_commands.command()
@_account
def enable(user: User) -> None:
    """Enable the account NAME again."""
    security.set_active(user, True)
    click.echo(f"Enabled {user.name}.")


@user_commands.command()
@_account
@click.confirmation_option(prompt="Delete this account permanently?")
def delete(user: User) -> None:
    """Delete the account NAME and end its sessions."""
    security.delete(user)
    click.echo(f"Deleted {user.name}.")


@user_commands.command()
@click.argument("beginning")
@click.confirmation_option(prompt="Delete all of these accounts permanently?")
def purge(beginning: str) -> None:
    """Delete all accounts whose names have this BEGINNING, such as those of a load test."""
    found = [user for user in _all_users() if user.name.startswith(beginning)]
    for user in found:
        security.delete(user)
    click.echo(f"Deleted {len(found)} accounts.")


@user_commands.command()
@_account
@click.argument("roles", nargs=-1, required=True, callback=_known_roles)
def grant(user: User, roles: tuple[str, ...]) -> None:
    """Grant ROLES to NAME and end its sessions."""
    security.change_roles(user, grant=roles)
    click.echo(f"{user.name} now has: {', '.join(user.roles)}.")


@user_commands.command()
@_account
@click.argument("roles", nargs=-1, required=True)
def revoke(user: User, roles: tuple[str, ...]) -> None:
    """Revoke ROLES from NAME and end its sessions."""
    security.change_roles(user, revoke=roles)
    click.echo(f"{user.name} now has: {', '.join(user.roles) or 'no roles'}.")


@user_commands.command("list")
def list_users() -> None:
    """List all accounts: name, state, roles."""
    for user in _all_users():
        state = "active" if user.is_active else "disabled"
        click.echo(f"{user.name}\t{state}\t{','.join(user.roles) or '-'}")


def _all_users() -> Iterator[User]:
    start = 0
    while users := security.users.page(start, PAGE):
        yield from users
        start += PAGE


def _new_password(from_stdin: bool) -> str:
    if from_stdin:
        # Only the line end is removed: a password is used exactly as given.
        return sys.stdin.readline().removesuffix("\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt="Repeat the password"))
