"""Each collaborator and each library of the accounts is named in one file only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for folder in ("security", "auth", "admin")
    for path in (ROOT / "app" / folder).rglob("*.py")
]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize(
    ("library", "file"),
    [
        ("flask_login", "login.py"),
        ("flask_wtf", "forms.py"),
        ("wtforms", "forms.py"),
        ("argon2", "hashing.py"),
        ("zxcvbn", "passwords.py"),
    ],
)
def test_a_library_is_known_to_one_file(library, file):
    users = [
        path.name
        for path in FILES
        if any(module.split(".")[0] == library for module, _ in imports(path))
        or f'"{library}.' in path.read_text()
    ]
    assert users == [file]


@pytest.mark.parametrize(
    "collaborator",
    [
        "RedisUserStore",
        "Argon2Hasher",
        "LoginState",
        "RedisSessionInterface",
        "LoginForm",
        "RegistrationForm",
        "ReauthenticationForm",
        "PasswordForm",
    ],
)
def test_only_the_manager_names_a_collaborator(collaborator):
    users = [path.name for path in FILES if any(name == collaborator for _, name in imports(path))]
    assert users == ["manager.py"]


def test_the_protocol_of_a_user_store_has_no_redis_in_it():
    path = ROOT / "app/security/users.py"
    assert not {name for _, name in imports(path)} & {"Client", "Command", "RedisClient", "Any"}


def test_every_collaborator_says_how_to_replace_it():
    tree = ast.parse((ROOT / "app/security/manager.py").read_text())
    (manager,) = (
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "SecurityManager"
    )
    checked = 0
    for node, following in zip(manager.body, manager.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign):
            said = following.value.value if isinstance(following, ast.Expr) else ""
            assert str(said).startswith("Override to "), ast.unparse(node)
            checked += 1
    assert checked >= 12


def test_the_example_store_is_short():
    text = (ROOT / "docs/examples/sqlite_users.py").read_text()
    code = text[text.index("\nclass SqliteUsers") :]
    assert len([line for line in code.splitlines() if line.strip()]) < 40
