"""The command `lunaroute-server users`: who may use a team's server, and their tokens."""

import argparse
import getpass
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from lunaroute_site.record_commands import fail, ready


def main(arguments: list[str]) -> int:
    """Run a command of `users`; gives the exit code."""
    parser = argparse.ArgumentParser(prog="lunaroute-server users", description="Users of a team's server.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = commands.add_parser("add", help="make a user")
    add.add_argument("name")
    add.add_argument(
        "--admin", action="store_true", help="administers the server; reads nobody else's sessions by that"
    )
    add.add_argument("--password", action="store_true", help="ask for a password (from a pipe: its first line)")
    token = commands.add_parser("token", help="make a token for a user, and print it")
    token.add_argument("name")
    token.add_argument("--label", default="command line", help="what it is for")
    token.add_argument("--days", type=int, help="how long it lasts (for good)")
    password = commands.add_parser(
        "password", help="set a user's password: it is asked for (from a pipe: its first line)"
    )
    password.add_argument("name")
    share = commands.add_parser("share", help="let users see each other's sessions of a project")
    share.add_argument("project")
    share.add_argument("name", nargs="+")
    for name, words in (("disable", "let a user and their tokens in no more"), ("enable", "let them in again")):
        commands.add_parser(name, help=words).add_argument("name")
    commands.add_parser("list", help="say who there is")
    options = parser.parse_args(arguments)
    if problem := ready(migrate=True):
        return fail(f"users: {problem}")
    from django.contrib.auth import get_user_model
    from django.core.exceptions import ValidationError
    from django.db import DatabaseError

    try:
        if options.command == "list":
            return _list(get_user_model())
        if options.command == "add":
            return _add(get_user_model(), options)
        return _change(get_user_model(), options)
    except ValidationError as error:
        return fail(f"users: {' '.join(error.messages)}")
    except DatabaseError as error:
        return fail(f"users: {str(error).strip().splitlines()[0]}")


def _add(users: Any, options: argparse.Namespace) -> int:
    if users.objects.filter(username=options.name).exists():
        return fail(f"users: there is a user {options.name} already")
    user = users(username=options.name, is_staff=options.admin, is_superuser=options.admin)
    if options.password:
        _set_password(user)
    else:
        user.set_unusable_password()
    user.full_clean()
    user.save()
    _note("credential" if options.password else "role", f"user {options.name}: made", options.name)
    print(f"{options.name} is a user{' and administers this server' if options.admin else ''}.")
    return 0


def _set_password(user: Any) -> None:
    from django.contrib.auth.password_validation import validate_password

    is_typed = sys.stdin.isatty()
    password = getpass.getpass("Password: ") if is_typed else sys.stdin.readline().rstrip("\n")
    validate_password(password, user)
    user.set_password(password)


def _note(action: str, what: str, name: str) -> None:
    """Write down what the owner of the server did, and whom it concerns: they are told."""
    from team import audit

    audit.write(audit.COMMAND_LINE, action, what, 200, "", name)


def _change(users: Any, options: argparse.Namespace) -> int:
    from team import tokens
    from team.models import Project

    names = options.name if isinstance(options.name, list) else [options.name]
    found = list(users.objects.filter(username__in=names))
    if missing := sorted(set(names) - {user.get_username() for user in found}):
        return fail(f"users: there is no user {', '.join(missing)}; `lunaroute-server users list` says who there is")
    if options.command == "share":
        project, _ = Project.objects.get_or_create(name=options.project)
        project.members.add(*found)
        for user in found:
            for concerned in project.members.all():
                _note("member", f"project {project}: {user} is a member", concerned.get_username())
            project.invitations.filter(user=user).delete()
        print(f"{options.project}: {', '.join(sorted(u.get_username() for u in project.members.all()))}")
        return 0
    (user,) = found
    if options.command == "token":
        if options.days is not None and options.days < 1:
            return fail(f"users: --days: expected 1 or more, got {options.days}")
        expires_at = datetime.now(UTC) + timedelta(days=options.days) if options.days else None
        print(tokens.make(user, options.label, expires_at)[1])
        _note("credential", f"user {user}: token {options.label}", user.get_username())
        return 0
    if options.command == "password":
        _set_password(user)
        user.save()
        _note("credential", f"user {user}: password", user.get_username())
        print(f"{user.get_username()} has a new password.")
        return 0
    user.is_active = options.command == "enable"
    user.save()
    _note("role", f"user {user}: {options.command}d", user.get_username())
    print(f"{user.get_username()} {'may come in' if user.is_active else 'may not come in any more'}.")
    return 0


def _list(users: Any) -> int:
    for user in users.objects.order_by("username").prefetch_related("tokens", "shared_projects"):
        parts = ["administers" if user.is_staff else "uses"]
        if not user.is_active:
            parts.append("disabled")
        parts += [f"token {token}" for token in user.tokens.all()]
        parts += [f"project {project}" for project in user.shared_projects.all()]
        print(f"{user.get_username()}: {', '.join(parts)}")
    return 0
