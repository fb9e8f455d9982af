"""The files that hold the secrets of a copy, read and written where its services have them."""

from __future__ import annotations

from operate import in_service
from stack.errors import StackError
from stack.runtime import Runtime

# By name in a backup: the service that has the file, the variable that names it, and what follows.
FILES = {
    "secret-key": ("app", "SECRET_KEY_FILE", ""),
    "secret-key.fallbacks": ("app", "SECRET_KEY_FILE", ".fallbacks"),
    "redis-password": ("redis", "REDIS_PASSWORD_FILE", ""),
    "tls-certificate.pem": ("nginx", "TLS_CERT_FILE", ""),
    "tls-key.pem": ("nginx", "TLS_KEY_FILE", ""),
}

_READ = """
file=$(printenv "$1")$2
[ ! -e "$file" ] || cat "$file"
"""
# It appears complete or not at all, with the mode of the file that it replaces.
_WRITE = """
umask 077
file=$(printenv "$1")$2
cat >"$file.new"
[ ! -e "$file" ] || chmod --reference="$file" "$file.new"
mv "$file.new" "$file"
"""
_AGE = """
echo $(($(date +%s) - $(stat -c %Y "$(printenv "$1")$2")))
"""
_REMOVE = """
rm -f "$(printenv "$1")$2"
"""


def read(runtime: Runtime, name: str, more: str = "") -> bytes:
    """Return the content of a file of FILES, with *more* after its name; b"" without a file."""
    service, variable, end = FILES[name]
    return in_service.shell(runtime, service, _READ, variable, end + more)


def age_s(runtime: Runtime, name: str) -> float:
    """Return for how many seconds a file has had its content."""
    service, variable, end = FILES[name]
    return float(in_service.shell(runtime, service, _AGE, variable, end))


def write(runtime: Runtime, name: str, content: bytes, more: str = "") -> None:
    """Replace such a file. Raises StackError if it cannot be written."""
    service, variable, end = FILES[name]
    try:
        in_service.shell(runtime, service, f"set -e\n{_WRITE}", variable, end + more, given=content)
    except StackError as error:
        raise StackError(
            f"{variable} of {service} cannot be written",
            "a file that is mounted is changed where it comes from",
            log=error.log,
        ) from None


def remove(runtime: Runtime, name: str, more: str = "") -> None:
    service, variable, end = FILES[name]
    in_service.shell(runtime, service, _REMOVE, variable, end + more)
