"""Login delays: they slow down guessing, and a guesser cannot lock an owner out.

After a few wrong passwords an account has a delay before the next attempt, doubled each time. There
are two delays: one per account and address, which grows to 15 minutes, and one per account for
guesses from many addresses, which stays at 30 s or less. The second does not apply to an address
from which the owner has logged in during the last 90 days, so strangers cannot keep the owner out.

An attempt during the delay is refused without checking the password and does not extend the delay.
Names without an account are delayed in the same way. The keys hold a keyed hash of the name, never
the name, because people type their password into the wrong field.
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
KNOWN_ADDRESS_SECONDS = 90 * 24 * 3600

# A count and a delay for each of the two. It is a script because parallel guesses must all count.
_FAILED = """
for i = 0, 1 do
  local count, delay = KEYS[2 * i + 1], KEYS[2 * i + 2]
  local free, longest = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local failures = redis.call('INCR', count)
  redis.call('PEXPIRE', count, ARGV[5])
  if failures >= free then
    local ms = math.min(longest, 1000 * 2 ^ math.min(failures - free, 30))
    redis.call('SET', delay, '', 'PX', string.format('%d', ms))
  end
end
return 1
"""


class LoginDelays:
    """The two delays of every account, in Redis under `guard:*`."""

    def __init__(self, redis: Client, key: bytes) -> None:
        self._redis = redis
        self._key = key
        self._failed = redis.script(_FAILED)

    def remaining(self, name: str, address: str) -> int:
        """Seconds until the next attempt for *name* from *address*; 0: none. One round trip."""
        keys = self._keys(name, address)
        here: int
        everywhere: int
        here, everywhere, known = self._redis.pipeline(
            [("PTTL", keys.here_delay), ("PTTL", keys.all_delay), ("EXISTS", keys.known)]
        )
        return math.ceil(max(0, here, 0 if known else everywhere) / 1000)

    def failed(self, name: str, address: str) -> None:
        """Count a wrong password. One round trip."""
        keys = self._keys(name, address)
        self._redis.execute(
            *self._failed(
                [keys.here_count, keys.here_delay, keys.all_count, keys.all_delay],
                [FREE_TRIES, LONGEST_MS, FREE_TRIES_EVERYWHERE, LONGEST_EVERYWHERE_MS, MEMORY_MS],
            ),
            retry=False,
        )

    def succeeded(self, name: str, address: str) -> None:
        """Delete this address's count and record that the owner uses the address."""
        keys = self._keys(name, address)
        self._redis.pipeline(
            [
                ("DEL", keys.here_count, keys.here_delay),
                ("SET", keys.known, "", "EX", KNOWN_ADDRESS_SECONDS),
            ]
        )

    def label(self, name: str) -> str:
        """A stable pseudonym of *name* for logs."""
        return hmac.new(self._key, name.encode(), hashlib.sha256).hexdigest()[:20]

    def _keys(self, name: str, address: str) -> _Keys:
        return _Keys(self.label(name), self.label(_network(address)))


class _Keys:
    """All in one slot of a Redis Cluster, because the script uses four of them."""

    def __init__(self, account: str, network: str) -> None:
        everywhere = f"guard:login:{{{account}}}"
        here = f"{everywhere}:{network}"
        self.all_count, self.all_delay = f"{everywhere}:count", f"{everywhere}:delay"
        self.here_count, self.here_delay = f"{here}:count", f"{here}:delay"
        self.known = f"{here}:known"


def _network(address: str) -> str:
    """The address range of one subscriber: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
