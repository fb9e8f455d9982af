"""Login delays: they slow down guessing, and a guesser cannot lock an owner out.

After a few wrong passwords an account has a delay before the next attempt, doubled each time: one
per address, of up to 15 minutes, and one for guesses from many addresses, of up to 30 s. The second
does not apply to an address from which the owner has logged in during the last 90 days, so
strangers cannot keep the owner out. An attempt during the delay is refused unchecked and does not
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
"""


class LoginDelays:
    """The two delays of every account, in Redis under `guard:*`."""

    def __init__(self, redis: Client, key: bytes) -> None:
        self._redis = redis
        self._key = key
        self._failed = redis.script(_FAILED)

    def remaining(self, name: str, address: str) -> int:
        """Seconds until the next attempt for *name* from *address*; 0: none. One round trip."""
        _, here_delay, _, everywhere_delay, known_address = self._keys(name, address)
        here, everywhere, known = self._redis.pipeline(
            [("PTTL", here_delay), ("PTTL", everywhere_delay), ("EXISTS", known_address)]
        )
        return math.ceil(max(0, int(here), 0 if known else int(everywhere)) / 1000)

    def failed(self, name: str, address: str) -> None:
        """Count a wrong password. One round trip."""
        keys = self._keys(name, address)[:4]
        limits = (FREE_TRIES, LONGEST_MS, FREE_TRIES_EVERYWHERE, LONGEST_EVERYWHERE_MS, MEMORY_MS)
        self._redis.execute(*self._failed(keys, limits), retry=False)

    def succeeded(self, name: str, address: str) -> None:
        """Delete this address's count and record that the owner uses the address."""
        here_count, here_delay, _, _, known = self._keys(name, address)
        self._redis.pipeline(
            [("DEL", here_count, here_delay), ("SET", known, "", "EX", KNOWN_ADDRESS_SECONDS)]
        )

    def label(self, name: str) -> str:
        """A stable pseudonym of *name* for logs."""
        return hmac.new(self._key, name.encode(), hashlib.sha256).hexdigest()[:20]

    def _keys(self, name: str, address: str) -> tuple[str, str, str, str, str]:
        """Count and delay of the address, count and delay of the account, and the known address.

        All are in one slot of a Redis Cluster, because the script uses four of them.
        """
        account = f"guard:login:{{{self.label(name)}}}"
        here = f"{account}:{self.label(_network(address))}"
        counts = (f"{here}:count", f"{here}:delay", f"{account}:count", f"{account}:delay")
        return (*counts, f"{here}:known")


def _network(address: str) -> str:
    """The address range of one subscriber: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
