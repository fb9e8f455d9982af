"""Latencies keep three digits from 1 µs to 60 s, and histograms of several blocks can be added."""

import random
import statistics

import pytest

from lab.measure.histogram import Histogram


def test_a_tenth_of_a_millisecond_shows_below_100_ms() -> None:
    steps = [tenths / 10 for tenths in range(1, 1001)]
    every = Histogram(ms / 1000 for ms in steps)
    # The k-th of 1000 latencies is the percentile k/10.
    found = every.percentiles([tenths / 10 for tenths in range(1, 1001)])
    assert list(found.values()) == pytest.approx(steps, abs=0.065)
    assert len(set(found.values())) == 1000


@pytest.mark.parametrize("us", [1, 7, 999, 2049, 31_415, 271_828, 5_000_123, 59_999_999])
def test_nothing_is_off_by_more_than_a_thousandth(us: int) -> None:
    found = Histogram([us / 1e6])
    for figure in (found.percentile(50), found.mean_ms, found.max_ms):
        assert figure == pytest.approx(us / 1000, rel=0.001, abs=0.0005)


def test_percentiles_are_those_of_the_latencies() -> None:
    draw = random.Random(5)
    latencies = sorted(draw.lognormvariate(-6, 1) for _ in range(10_000))
    found = Histogram(latencies)
    assert found.count == 10_000
    assert found.mean_ms == pytest.approx(statistics.fmean(latencies) * 1000, rel=0.001)
    assert found.max_ms == pytest.approx(latencies[-1] * 1000, rel=0.001)
    percentiles = found.percentiles([50, 95, 99, 99.9, 100])
    for percent, ms in percentiles.items():
        exact = latencies[round(len(latencies) * percent / 100) - 1] * 1000
        assert ms == pytest.approx(exact, rel=0.002), percent
    assert percentiles[100] == found.max_ms


def test_encoded_histograms_can_be_added() -> None:
    first, second = [0.001] * 90, [0.1] * 10
    merged = Histogram.decode(Histogram(first).encode())
    merged.add(Histogram.decode(Histogram(second).encode()))
    at_once = Histogram([*first, *second])
    assert merged.encode() == at_once.encode()
    assert merged.count == 100
    assert merged.percentile(90) == pytest.approx(1.0, rel=0.001)
    assert merged.percentile(91) == pytest.approx(100.0, rel=0.001)


def test_latencies_outside_the_range_are_counted() -> None:
    found = Histogram([0.0, -0.5, 61.0, 3600.0])
    assert found.count == 4
    assert found.percentile(50) == 0.001
    assert found.max_ms == 60_000


def test_an_empty_histogram_has_zeros() -> None:
    found = Histogram.decode(Histogram().encode())
    assert (found.count, found.mean_ms, found.max_ms, found.percentile(99)) == (0, 0, 0, 0)


@pytest.mark.parametrize("text", ["", "hello", "é", "HISTFAAAAA==", Histogram([1]).encode()[:-8]])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an encoded histogram"):
        Histogram.decode(text)


@pytest.mark.parametrize("percent", [-1, 100.1])
def test_an_invalid_percentage_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="give 0 to 100"):
        Histogram([1]).percentile(percent)
