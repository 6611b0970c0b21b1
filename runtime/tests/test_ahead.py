"""Work that is done ahead of the caller: in order, bounded, and given up with it."""

from __future__ import annotations

import threading

import pytest

from s2bnn_runtime.ahead import ahead


def test_results_come_in_the_order_of_the_items():
    first_may_end = threading.Event()

    def work(item: int) -> int:
        if item == 1:
            first_may_end.set()
        if item == 0:  # ends after the second, if there is more than one thread
            first_may_end.wait(0.1)
        return item * item

    assert list(ahead(work, range(50))) == [item * item for item in range(50)]
    assert list(ahead(work, [])) == []


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (64, 4), (None, 1)])
def test_few_items_are_read_ahead(monkeypatch, cores, threads):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    asked = []

    def items():
        for item in range(20):
            asked.append(item)
            yield item

    results = ahead(lambda item: item, items())
    for taken in range(15):
        assert next(results) == taken
        assert len(asked) == taken + 1 + threads
    results.close()
    assert len(asked) == 15 + threads


def test_an_error_comes_in_the_place_of_its_result():
    results = ahead(lambda item: 1 // item, [1, 1, 0, 1])
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
