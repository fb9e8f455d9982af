"""Latencies in a histogram that is fine everywhere and can be merged: HdrHistogram, in µs.

Values from 1 µs to 60 s with three significant digits, so a bucket is never wider than 0.1 % of its
value: 1 µs up to 2 ms, 64 µs at 100 ms. (Locust's own buckets are 1 ms wide below 100 ms.)
Percentiles of several blocks come from the added histograms; percentiles themselves cannot be
averaged. The text form is HdrHistogram's V2 encoding, which its tools for other languages read.

Gil Tene's HdrHistogram: http://hdrhistogram.org
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterable

from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram

LOWEST_US, HIGHEST_US, DIGITS = 1, 60_000_000, 3
_US_PER_S = 1_000_000
_US_PER_MS = 1_000


class Histogram:
    """Latencies. They go in as seconds, and come out as milliseconds."""

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        self._counts = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
        for latency in seconds:
            self.record(latency)

    def record(self, seconds: float) -> None:
        """Count one latency. Below 1 µs it counts as 1 µs, above 60 s as 60 s: never as none."""
        us = round(seconds * _US_PER_S)
        self._counts.record_value(min(max(us, LOWEST_US), HIGHEST_US))

    def add(self, other: Histogram) -> None:
        """Count everything that *other* has counted, too."""
        self._counts.add(other._counts)

    @property
    def count(self) -> int:
        """How many latencies there are."""
        return int(self._counts.total_count)

    @property
    def mean_ms(self) -> float:
        """Their mean, 0 without any; exact to the 0.05 % that a bucket's middle is off."""
        return float(self._counts.get_mean_value()) / _US_PER_MS if self.count else 0.0

    @property
    def max_ms(self) -> float:
        """The longest, 0 without any; as rounded up as its bucket."""
        longest = float(self._counts.get_max_value()) if self.count else 0.0
        return min(longest, HIGHEST_US) / _US_PER_MS

    def percentile(self, percent: float) -> float:
        """Return the latency in ms within which *percent* (0 to 100) were answered; 0 without any.

        Raises ValueError for a percentage that is none.
        """
        return self.percentiles([percent])[percent]

    def percentiles(self, percents: Iterable[float]) -> dict[float, float]:
        """Return percent → ms for several at the cost of one. Raises ValueError as percentile()."""
        wanted = list(percents)
        for percent in wanted:
            if not 0 <= percent <= 100:
                raise ValueError(f"{percent} is not a percentage: give 0 to 100, such as 99.9")
        if not self.count:
            return dict.fromkeys(wanted, 0.0)
        found = self._counts.get_percentile_to_value_dict(wanted)
        # A bucket's upper end may lie above the longest latency that is in it.
        return {percent: min(found[percent] / _US_PER_MS, self.max_ms) for percent in wanted}

    def encode(self) -> str:
        """Return it as base64 text, for decode()."""
        return bytes(self._counts.encode()).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """Return the histogram that encode() wrote. Raises ValueError for any other text."""
        histogram = cls()
        try:
            histogram._counts.decode_and_add(text.encode("ascii"))
        except (
            binascii.Error,
            HdrCookieException,
            HdrLengthException,
            IndexError,
            UnicodeEncodeError,
            zlib.error,
        ) as error:
            raise ValueError(f"{text[:40]!r} is not an encoded histogram: {error}") from error
        return histogram
