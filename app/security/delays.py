"""Login delays: they slow down guessing, and a guesser cannot lock an owner out.

After a few wrong passwords an account has a delay before the next attempt, doubled each time, of
up to 15 minutes: one for each address, and one for each browser in which the owner has logged in
during the last 90 days, which is then independent of its address.

After twenty wrong passwords from anywhere, each address that is new to the account must also wait
for its turn, of up to 30 s, before each attempt. Each address has a turn of its own: one delay for
all would end when an attacker is quicker than the owner, and begin again.

An attempt during the delay is refused unchecked and does not
extend it. Names without an account are delayed in the same way. The keys hold a keyed hash of the
name, because people type their password into the wrong field.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math

from app.redis_client import Client

FREE_TRIES = 3  # from one address
FREE_TRIES_EVERYWHERE = 20
LONGEST_MS = 15 * 60 * 1000
LONGEST_EVERYWHERE_MS = 30 * 1000
# The counts expire after this time without a wrong password.
MEMORY_MS = 60 * 60 * 1000
KNOWN_SECONDS = 90 * 24 * 3600

# How long a new address may use its turn.
TURN_MS = 10 * 60 * 1000

# Prefix of the three scripts. They may exceed the memory limit: guesses count when Redis is full.
# KEYS: the browser, the address, the count of all failures
_LANE = """#!lua flags=allow-oom
local lane, known = KEYS[2], redis.call('EXISTS', KEYS[2] .. ':known')
if redis.call('EXISTS', KEYS[1] .. ':known') == 1 then lane, known = KEYS[1], 1 end
"""
_REMAINING = """
local free, longest, use = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wait = math.max(0, redis.call('PTTL', lane .. ':delay'))
local over = tonumber(redis.call('GET', KEYS[3]) or 0) - free
if known == 1 or over < 0 then return wait end
local left = redis.call('PTTL', lane .. ':turn')
if left < 0 then
  left = use + math.min(longest, 1000 * 2 ^ math.min(over, 30))
  redis.call('SET', lane .. ':turn', '', 'PX', string.format('%d', left))
end
return math.max(wait, left - use)
"""
# It is a script because parallel guesses must all count.
_FAILED = """
local free, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
for _, count in ipairs({KEYS[3], lane .. ':count'}) do
  redis.call('INCR', count)
  redis.call('PEXPIRE', count, ARGV[3])
end
local over = redis.call('GET', lane .. ':count') - free
if over >= 0 then
  local ms = math.min(longest, 1000 * 2 ^ math.min(over, 30))
  redis.call('SET', lane .. ':delay', '', 'PX', string.format('%d', ms))
end
redis.call('DEL', lane .. ':turn')
"""
_SUCCEEDED = """
redis.call('DEL', lane .. ':count', lane .. ':delay', lane .. ':turn')
for i = 1, 2 do redis.call('SET', KEYS[i] .. ':known', '', 'EX', ARGV[1]) end
"""


class LoginDelays:
    """The delays of every account, in Redis under `guard:*`. Each method is one round trip."""

    def __init__(self, redis: Client, key: bytes) -> None:
        self._redis = redis
        self._key = key
        self._remaining = redis.script(_LANE + _REMAINING)
        self._failed = redis.script(_LANE + _FAILED)
        self._succeeded = redis.script(_LANE + _SUCCEEDED)

    def remaining(self, name: str, address: str, browser: str = "") -> int:
        """Seconds until the next attempt for *name* from here; 0: none."""
        limits = (FREE_TRIES_EVERYWHERE, LONGEST_EVERYWHERE_MS, TURN_MS)
        keys = self._keys(name, address, browser)
        wait: int = self._redis.execute(*self._remaining(keys, limits))
        return math.ceil(wait / 1000)

    def failed(self, name: str, address: str, browser: str = "") -> None:
        """Count a wrong password."""
        keys = self._keys(name, address, browser)
        limits = (FREE_TRIES, LONGEST_MS, MEMORY_MS)
        self._redis.execute(*self._failed(keys, limits), retry=False)

    def succeeded(self, name: str, address: str, browser: str = "") -> None:
        """Forget the failures from here and record that the owner uses address and browser."""
        keys = self._keys(name, address, browser)
        self._redis.execute(*self._succeeded(keys, (KNOWN_SECONDS,)))

    def label(self, name: str) -> str:
        """A stable pseudonym of *name* for logs."""
        return hmac.new(self._key, name.encode(), hashlib.sha256).hexdigest()[:20]

    def _keys(self, name: str, address: str, browser: str) -> tuple[str, str, str]:
        """All are in one slot of a Redis Cluster, also with what the scripts append."""
        account = f"guard:login:{{{self.label(name)}}}"
        here = f"{account}:{self.label(_network(address))}"
        return (f"{account}:{self.label(browser)}" if browser else here, here, f"{account}:count")


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
