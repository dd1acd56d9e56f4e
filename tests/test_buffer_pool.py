"""The buffer pool: memory of large results is used again once these have died, and never sooner; how much is kept."""

import gc
import os
import pickle
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv as fc
from fastconv import _core

MB = 2**20
KERNEL = np.full((1, 1), 2, np.float32)


@pytest.fixture(autouse=True)
def _empty_pool():
    limit, _ = _core.pool_sizes()
    fc.set_buffer_pool(0)
    fc.set_buffer_pool(limit)
    yield
    fc.set_buffer_pool(limit)


def image_of(megabytes: int, value: float = 1) -> np.ndarray:
    return np.full((megabytes, 512, 512), value, np.float32)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def held() -> int:
    return _core.pool_sizes()[1]


def test_memory_of_a_dead_result_serves_the_next_one_of_its_size():
    first = address(fc.conv2d(image_of(8), KERNEL))
    assert held() == 8 * MB
    other = fc.conv2d(image_of(4), KERNEL)
    assert address(other) != first
    again = fc.conv2d(image_of(8, 3), KERNEL)
    assert address(again) == first
    assert held() == 0
    assert (again == 6).all()
    assert (other == 2).all()


def test_memory_stays_with_a_result_as_long_as_any_view_of_it():
    result = fc.conv2d(image_of(2), KERNEL)
    view, buffer = result[1:, ::2], memoryview(result)
    del result
    more = [fc.conv2d(image_of(2, 5), KERNEL) for _ in range(3)]
    assert (view == 2).all()
    del view
    assert held() == 0
    buffer.release()
    assert held() == 2 * MB
    assert all((maps == 10).all() for maps in more)


def test_results_are_ordinary_arrays():
    result = fc.conv2d(image_of(2), KERNEL)
    assert type(result) is np.ndarray
    assert result.flags.writeable
    assert result.flags.c_contiguous
    assert address(result) % 64 == 0
    result += 1
    copy = pickle.loads(pickle.dumps(result))
    assert (copy == 3).all()
    assert not np.shares_memory(copy, result)
    with pytest.raises(ValueError, match="does not own its data"):
        result.resize(1)


def test_small_results_and_out_leave_the_pool_alone():
    fc.conv2d(np.ones((200, 200), np.float32), KERNEL)
    out = np.empty((2, 512, 512), np.float32)
    assert fc.conv2d(image_of(2), KERNEL, out=out) is out
    assert held() == 0


def test_the_pool_is_bounded_and_drops_what_it_has_had_for_the_longest_time():
    fc.set_buffer_pool(8 * MB)
    results = [fc.conv2d(image_of(size), KERNEL) for size in (1, 2, 3, 4)]
    middle = address(results[2])
    while results:
        results.pop(0)
        assert held() <= 8 * MB
    assert held() == 7 * MB  # 3 and 4 MB
    assert address(fc.conv2d(image_of(3), KERNEL)) == middle
    fc.conv2d(image_of(9), KERNEL)  # more than all that is kept
    assert held() == 7 * MB
    fc.set_buffer_pool(0)
    assert held() == 0
    fc.conv2d(image_of(1), KERNEL)
    assert held() == 0


@pytest.mark.parametrize(("bytes_", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (True, TypeError)])
def test_other_limits_are_refused(bytes_, error):
    with pytest.raises(error, match=r"^bytes must be an int of 0 or more"):
        fc.set_buffer_pool(bytes_)


def test_any_int_is_a_limit():
    fc.set_buffer_pool(2**100)
    assert _core.pool_sizes()[0] == sys.maxsize


def test_banks_sequences_and_filters_use_the_pool(rng):
    bank = fc.FilterBank(rng.normal(size=(8, 3, 3, 3)).astype(np.float32), padding=1)
    image = rng.normal(size=(3, 256, 256)).astype(np.float32)
    calls = {
        "bank": lambda: bank(image),
        "sequence": lambda: fc.Sequential(bank)(image),
        "integers": lambda: fc.conv2d(np.ones((4, 256, 256), np.int32), np.ones((1, 4, 3, 3), np.int32).repeat(8, 0)),
        "channels last": lambda: fc.conv2d(np.ones((256, 256, 3), np.float32), bank.weight, channels_last=True),
        "ndimage": lambda: fc.ndimage.gaussian_filter(np.ones((600, 600), np.float32), 1),
    }
    for name, call in calls.items():
        expected = call().copy()
        assert held() >= MB, name
        fc.set_buffer_pool(0)
        fc.set_buffer_pool(64 * MB)
        for _ in range(3):
            np.testing.assert_array_equal(call(), expected, err_msg=name)
        fc.set_buffer_pool(0)
        fc.set_buffer_pool(64 * MB)


def test_what_is_kept_counts_as_memory_in_use():
    tracemalloc.start()
    fc.conv2d(image_of(3), KERNEL)
    gc.collect()
    assert 3 * MB <= tracemalloc.get_traced_memory()[0] < 3.5 * MB
    fc.set_buffer_pool(0)
    assert tracemalloc.get_traced_memory()[0] < 0.5 * MB
    tracemalloc.stop()


def test_threads_never_share_memory_of_results():
    fc.set_buffer_pool(6 * MB)

    def call(value: int) -> bool:
        results = [fc.conv2d(image_of(1 + value % 3, value + n), KERNEL) for n in range(3)]
        return all((result == 2 * (value + n)).all() for n, result in enumerate(results))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(64)))
    assert held() <= 6 * MB


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_starts_with_an_empty_pool():
    program = """
import os, numpy as np, fastconv as fc
from fastconv import _core
image, kernel = np.ones((40, 512, 512), np.float32), np.full((1, 1), 2, np.float32)
fc.conv2d(image, kernel)
kept = fc.conv2d(image[:2], kernel)
assert _core.pool_sizes()[1] == 40 * 2**20
if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
    assert _core.pool_sizes()[1] == 40 * 2**20
    assert (fc.conv2d(image, kernel) == 2).all() and (kept == 2).all()
else:
    fine = _core.pool_sizes()[1] == 0
    for value in 3, 4:
        fine &= bool((fc.conv2d(image * value, kernel) == 2 * value).all() and (kept == 2).all())
    kept[:] = 0
    del kept
    os._exit(not fine)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="address spaces are limited on Linux only")
def test_the_pool_makes_way_for_results_of_other_sizes():
    program = """
import resource, numpy as np, fastconv as fc
image, kernel = np.ones((96, 512, 512), np.float32), np.ones((1, 1), np.float32)
fc.conv2d(image, kernel, threads=1)
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 2**25, -1))
assert fc.conv2d(image[:95], kernel, threads=1).all()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
