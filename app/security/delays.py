"""Login delays: they slow down guessing, and a guesser cannot lock an owner out.

After a few wrong passwords an account has a delay before the next attempt, doubled each time, of
up to 15 minutes: one for each address, and one for each browser in which the owner has logged in
during the last 90 days, which is then independent of its address.

After twenty wrong passwords from anywhere, each address that is new to the account must also wait
for its turn, for 30 s, before each attempt. Each address has a turn of its own: one delay for
all would end when an attacker is quicker than the owner, and begin again.

An attempt during the delay is refused unchecked and does not extend it. Names without an account
are delayed in the same way. Redis holds a keyed hash of the name, because people type their
password into the wrong field.

Guesses count when Redis is full, so their number is bounded: 65,536 counts and as many turns, over
all accounts. A further one replaces the count with the oldest wrong password, or the oldest turn.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
from collections.abc import Sequence

from app.redis_client import Client

FREE_TRIES = 3  # from one address
FREE_TRIES_EVERYWHERE = 20
LONGEST_MS = 15 * 60 * 1000
# The counts expire after this time without a wrong password.
MEMORY_MS = 60 * 60 * 1000
MOST_COUNTS = MOST_TURNS = 65_536

KNOWN_MS = 90 * 24 * 3600 * 1000
MOST_KNOWN = 100  # browsers and addresses of an account

# How long a new address waits for its turn, and how long it may use it.
TURN_WAIT_MS = 30 * 1000
TURN_MS = 10 * 60 * 1000

# The beginning of the three scripts. They may exceed the memory limit: guesses count when Redis is
# full. KEYS are sorted sets: counts and turns of all accounts, and what this account knows. The
# score of a count is 32 x the time of the last wrong password + their number, which stops at 31; of
# a turn, when the address first asked; of what is known, when that ends. Times are milliseconds.
_SHARED = """#!lua flags=allow-oom
local account, browser, address, memory = unpack(ARGV, 1, 4)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function score(key, member) return tonumber(redis.call('ZSCORE', key, member) or 0) end

local browser_known = score(KEYS[3], browser) > now
local known = browser_known or score(KEYS[3], address) > now
local lane = account .. ':' .. (browser_known and browser or address)

local function count(member)
  local found = score(KEYS[1], member)
  local last = math.floor(found / 32)
  return last + memory > now and found % 32 or 0, last
end
local function keep(key, oldest, most)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', oldest)
  redis.call('ZREMRANGEBYRANK', key, 0, -most - 1)
end
"""
_REMAINING = """
local free, longest, free_everywhere, turn, use, most = unpack(ARGV, 5)
local tries, last = count(lane)
local over, wait = tries - free, 0
if over >= 0 then wait = math.max(0, last + math.min(longest, 1000 * 2 ^ over) - now) end
if known or count(account) - free_everywhere < 0 then return wait end
local asked = score(KEYS[2], lane)
if asked + turn + use < now then
  asked = now
  redis.call('ZADD', KEYS[2], asked, lane)
  keep(KEYS[2], now - turn - use, most)
end
-- So many new addresses ask that a turn is forgotten early: it may be used from half that time on.
if redis.call('ZCARD', KEYS[2]) - most >= 0 then
  local oldest = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
  turn = math.min(turn, (now - oldest) / 2)
end
return math.max(wait, asked + turn - now)
"""
# It is a script because parallel guesses must all count.
_FAILED = """
for _, member in ipairs({account, lane}) do
  redis.call('ZADD', KEYS[1], now * 32 + math.min(31, count(member) + 1), member)
end
keep(KEYS[1], (now - memory) * 32, ARGV[5])
redis.call('ZREM', KEYS[2], lane)
"""
_SUCCEEDED = """
for i = 1, 2 do redis.call('ZREM', KEYS[i], lane) end
redis.call('ZADD', KEYS[3], now + ARGV[5], browser, now + ARGV[5], address)
keep(KEYS[3], now, ARGV[6])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
"""


class LoginDelays:
    """The delays of every account, in Redis under `guard:*`. Each method is one round trip."""

    def __init__(self, redis: Client, key: bytes) -> None:
        self._redis = redis
        self._key = key
        self._remaining = redis.script(_SHARED + _REMAINING)
        self._failed = redis.script(_SHARED + _FAILED)
        self._succeeded = redis.script(_SHARED + _SUCCEEDED)

    def remaining(self, name: str, address: str, browser: str = "") -> int:
        """Seconds until the next attempt for *name* from here; 0: none."""
        limits = (FREE_TRIES, LONGEST_MS, FREE_TRIES_EVERYWHERE, TURN_WAIT_MS, TURN_MS, MOST_TURNS)
        arguments = self._arguments(name, address, browser, *limits)
        wait: int = self._redis.execute(*self._remaining(*arguments))
        return math.ceil(wait / 1000)

    def failed(self, name: str, address: str, browser: str = "") -> None:
        """Count a wrong password."""
        arguments = self._arguments(name, address, browser, MOST_COUNTS)
        self._redis.execute(*self._failed(*arguments), retry=False)

    def succeeded(self, name: str, address: str, browser: str = "") -> None:
        """Forget the failures from here and record that the owner uses address and browser."""
        arguments = self._arguments(name, address, browser, KNOWN_MS, MOST_KNOWN)
        self._redis.execute(*self._succeeded(*arguments))

    def label(self, name: str) -> str:
        """A stable pseudonym of *name* for logs."""
        return hmac.new(self._key, name.encode(), hashlib.sha256).hexdigest()[:20]

    def _arguments(
        self, name: str, address: str, browser: str, *limits: int
    ) -> tuple[Sequence[str], Sequence[str | int]]:
        """Return the keys and arguments of a script."""
        account, here = self.label(name), self.label(_network(address))
        keys = ("guard:login:counts", "guard:login:turns", f"guard:login:known:{account}")
        return keys, (account, self.label(browser) if browser else here, here, MEMORY_MS, *limits)


def _network(address: str) -> str:
    """The address range of one subscriber: an IPv4 address, or the /64 of an IPv6 address.

    nginx's limits count the same way ($client_network).
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    # All mapped addresses are in one /64.
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
