"""Threads: the same bits however many there are, calls from many threads at once, fork, interruption, and the numbers that choose them."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from problem_table import Case, use_isa

import fastconv as fc
from fastconv import _core, _threads

# Worth eight threads at the least, for every way over the blocks.
SHARED = [
    Case((2, 64, 24, 35), (64, 64, 3, 3), {"padding": 1}),  # rows of pixels
    Case((2, 64, 30, 9), (64, 64, 3, 3), {"activation": "silu"}),  # panels
    Case((3, 256, 7, 7), (512, 256, 3, 3), {"padding": 1}),  # maps so small that filters are split
    Case((2, 512, 3, 3), (500, 512, 3, 3)),  # a single pixel
    Case((2, 128, 37, 41), (70, 128, 1, 1), {"activation": "relu"}),  # the image in place
    Case((2, 600, 9, 15), (64, 600, 1, 1), {"stride": 2}),
    Case((3, 64, 90, 100), (64, 1, 3, 3), {"groups": 64, "padding": 1}),  # sweeps
    Case((2, 1, 300, 200), (4, 1, 9, 9), {"padding_mode": "reflect", "padding": 4}),
    Case((2, 32, 30, 30), (128, 8, 3, 3), {"groups": 4, "stride": 2, "padding": 1}),
    Case((2, 16, 9, 20, 20), (16, 16, 3, 3, 3), {"padding": 1}),
    Case((2, 8, 5000), (16, 8, 64), {"dilation": 2}),
    Case((1, 1, 160000), (64, 1, 16), {"stride": 16}),  # a single row: filters are split
    Case((2, 64, 33, 33), (80, 64, 3, 3), {"padding": 18, "dilation": 18}),  # position by position
]


@pytest.fixture(autouse=True)
def _restore_threads_and_isa():
    threads, (isa, _) = fc.get_num_threads(), _core.current_isa()
    yield
    fc.set_num_threads(threads)
    use_isa(isa)


def run_program(program: str, **environment: str) -> Any:
    """Run Python code on its own; what it prints is the result."""
    program = f"import os, signal, sys, threading, time\nimport numpy as np\nimport fastconv as fc\n{program}"
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# The same bits


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("algorithm", ["auto", "direct"])
@pytest.mark.parametrize("case", SHARED, ids=str)
def test_results_do_not_depend_on_threads_or_batches(case, algorithm, dtype, isa):
    use_isa(isa)
    images, *rest = case.draw(dtype, integers=False)
    alone = case.convolve((images, *rest), threads=1, algorithm=algorithm)
    for threads in (2, 3, 8):
        assert (case.convolve((images, *rest), threads=threads, algorithm=algorithm) == alone).all(), threads
        one_by_one = [
            case.convolve((image[np.newaxis], *rest), threads=threads, algorithm=algorithm) for image in images
        ]
        assert (np.concatenate(one_by_one) == alone).all(), threads


@pytest.mark.parametrize("dtype", [np.int8, np.float16, np.complex64])
def test_results_of_other_dtypes_do_not_depend_on_threads(dtype):
    case = SHARED[0]
    arrays = case.draw(dtype, integers=True)
    assert (case.convolve(arrays, threads=8) == case.convolve(arrays, threads=1)).all()


def test_banks_and_functions_agree_with_threads():
    for case in SHARED:
        image, weight, bias = case.draw(np.float32, integers=False)
        bank = fc.FilterBank(weight, bias, **case.options, algorithm="direct")
        assert (bank(image, threads=3) == case.convolve((image, weight, bias), algorithm="direct", threads=1)).all(), (
            case
        )


# Calls from many threads


@pytest.mark.parametrize("threads", [1, 3])
def test_many_python_threads_may_call_at_once(threads):
    drawn = [(case, case.draw(np.float32, integers=False)) for case in SHARED]
    alone = [case.convolve(arrays, threads=1) for case, arrays in drawn]
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(case.convolve, arrays, threads=threads) for _ in range(6) for case, arrays in drawn]
        for index, call in enumerate(calls):
            assert (call.result() == alone[index % len(alone)]).all(), drawn[index % len(alone)][0]


def test_one_bank_may_be_called_by_many_python_threads():
    case = SHARED[2]
    images, weight, bias = case.draw(np.float32, integers=False)
    expected = fc.FilterBank(weight, bias, **case.options)(images, threads=1)
    bank = fc.FilterBank(weight, bias, **case.options)  # packs its weights in whichever call comes first
    with ThreadPoolExecutor(8) as pool:
        for maps in pool.map(lambda _: bank(images, threads=2), range(24)):
            assert (maps == expected).all()


def test_one_bank_may_meet_many_image_shapes_at_once():
    weight = np.random.default_rng(0).normal(size=(24, 16, 3, 3)).astype(np.float32)
    images = [np.ones((16, 8 + n % 7, 9 + n % 5), np.float32) * n for n in range(96)]
    expected = [fc.FilterBank(weight, padding=1)(image) for image in images]
    bank = fc.FilterBank(weight, padding=1)  # places its blocks anew wherever the shape is another than before
    with ThreadPoolExecutor(8) as pool:
        for maps, right in zip(pool.map(bank, images), expected, strict=True):
            assert (maps == right).all()


def test_all_that_is_remembered_may_be_shared_by_python_threads():
    """Banks, plans, packed weights, memory of results and of blocks: threads that switch all the time use and drop them."""
    rng = np.random.default_rng(0)
    image, weight = rng.normal(size=(8, 40, 41)).astype(np.float32), rng.normal(size=(8, 8, 3, 3)).astype(np.float32)
    large, holes = np.ones((600, 700), np.float32), np.ma.masked_less(image, -1)
    numbers = rng.integers(0, 255, (8, 30, 30), np.uint8), rng.integers(-9, 9, (4, 8, 3, 3), np.int8)

    def calls():
        bank, gelu = fc.FilterBank(weight, padding=1), fc.FilterBank(weight, padding=1, activation="gelu")
        chain, back = fc.Sequential(bank, gelu), fc.TransposedFilterBank(weight, stride=2)
        return [
            *(lambda n=n: fc.conv2d(image[:, n:], weight, threads=1 + n % 3) for n in range(6)),
            *(lambda n=n: bank(image[..., n:]) for n in range(6)),
            *(lambda n=n: fc.conv2d(image, weight + n, padding=n) for n in range(3)),
            lambda: fc.conv2d(
                large, np.ones((5, 5), np.float32)
            ),  # whose memory goes to the pool, and comes from there
            lambda: fc.conv2d(holes, weight).filled(0),
            lambda: bank(holes).filled(0),
            lambda: chain(image),
            lambda: back(image),
            lambda: gelu.backward(image, np.ones_like(image)).weight,
            lambda: fc.conv_integer(*numbers),
            lambda: fc.conv2d(image.astype(np.int16), weight.astype(np.int16), threads=2),
            lambda: fc.ndimage.gaussian_filter(image[0], 2),
            lambda: fc.signal.fftconvolve(image[0], weight[0, 0]),
        ]

    expected, shared = [call() for call in calls()], calls()

    def run(seed):
        order = random.Random(seed).sample(range(len(shared)), len(shared))
        for n in order:
            assert (shared[n]() == expected[n]).all(), n
            if not n:
                fc.set_weight_cache(2**26 if seed % 2 else 2**14)
                fc.set_buffer_pool(2**27 if seed % 3 else 0)

    interval, limit = sys.getswitchinterval(), _core.pool_sizes()[0]
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(run, range(32)))
    finally:
        sys.setswitchinterval(interval)
        fc.set_buffer_pool(limit)
        fc.set_weight_cache(2**26)


def test_units_in_python_are_computed_once():
    """By as many threads as there are, which take them while others do."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        done: list[tuple[int, ...]] = []
        _threads.parallel_for(done.append, [(n,) for n in range(20000)], 8)
        assert sorted(done) == [(n,) for n in range(20000)]
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the system does not say how much memory is in use")
def test_threads_that_end_leave_no_memory_behind():
    image, weight = np.ones((64, 40, 40), np.float32), np.ones((64, 64, 3, 3), np.float32)

    def pages_after(calls: int) -> int:
        for _ in range(calls):
            thread = threading.Thread(target=fc.conv2d, args=(image, weight), kwargs={"threads": 1})
            thread.start()
            thread.join()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1])

    before = pages_after(20)
    assert (pages_after(200) - before) * os.sysconf("SC_PAGESIZE") < 60e6  # 200 workspaces are more than 100 MB


def test_other_python_threads_run_during_a_call():
    image, weight = np.ones((256, 100, 100), np.float32), np.ones((128, 256, 5, 5), np.float32)
    turns = 0
    call = threading.Thread(target=fc.conv2d, args=(image, weight), kwargs={"threads": 1})
    call.start()
    while call.is_alive():
        time.sleep(0.001)
        turns += 1
    call.join()
    assert turns >= 10


# Processes

BIG_CALL = """
image, weight = np.ones((64, 40, 40), np.float32), np.ones((64, 64, 3, 3), np.float32)
expected = fc.conv2d(image, weight, threads=1)
def works():
    return bool((fc.conv2d(image, weight, threads=4) == expected).all())
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
@pytest.mark.parametrize(("threads", "started"), [(1, 0), (2, 1), (4, 3)])
def test_a_call_starts_one_thread_fewer_than_it_may_use(threads, started):
    program = BIG_CALL + "before = len(os.listdir('/proc/self/task'))\n"
    program += f"for _ in range(3): fc.conv2d(image, weight, threads={threads})\n"
    run = run_program(program + "print(len(os.listdir('/proc/self/task')) - before)")
    assert (run.stdout, run.stderr) == (f"{started}\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_can_use_threads():
    forks = """
print(works())
for busy in (False, True):  # also while another thread is in the middle of a call
    thread = threading.Thread(target=lambda: [works() for _ in range(100)], daemon=True)
    if busy:
        thread.start()
    for _ in range(10):
        child = os.fork()
        if not child:
            signal.alarm(20)
            os._exit(0 if works() and works() else 1)
        print(os.waitpid(child, 0)[1], end=" ")
print(works())
"""
    run = run_program("import warnings\nwarnings.simplefilter('ignore')\n" + BIG_CALL + forks)
    assert (run.stdout, run.stderr) == ("True\n" + "0 " * 20 + "True\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_multiprocessing_by_fork_works():
    pool = """
import multiprocessing, warnings
warnings.simplefilter('ignore')
print(works())
with multiprocessing.get_context("fork").Pool(2) as pool:
    print([pool.apply_async(works).get(20) for _ in range(4)])
"""
    run = run_program(BIG_CALL + pool)
    assert (run.stdout, run.stderr) == ("True\n[True, True, True, True]\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself an interrupt there")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("image", "weight"),
    [
        ("np.ones((256, 200, 200), np.float32)", "np.ones((64, 256, 7, 7), np.float32)"),
        ("np.ones((256, 200, 200), np.float16)", "np.ones((64, 256, 7, 7), np.float16)"),
        ("np.ones((256, 200, 200), np.int16)", "np.ones((64, 256, 7, 7), np.int16)"),
        ("np.ones((32, 1000, 1000), np.float32)", "np.ones((32, 1, 31, 31), np.float32)"),
        ("np.ones((64, 120000), np.float32)", "np.ones((64, 64, 256), np.float32)"),
        ("np.ones((4096, 90, 90), np.float32)", "np.ones((4096, 4096, 1, 1), np.float32)"),
    ],
)
def test_an_interrupt_ends_a_long_call_soon(image, weight, threads):
    call = f"""
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells make what runs in the background ignore it
signal.alarm(40)
image, weight = {image}, {weight}
images = np.broadcast_to(image, (20, *image.shape))  # many seconds of work
groups = len(image) // weight.shape[1]
sent = []
def interrupt():
    time.sleep(0.3)
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    (fc.conv1d if image.ndim == 2 else fc.conv2d)(images, weight, groups=groups, threads={threads})
except KeyboardInterrupt:
    spent = time.process_time() - sent[0]  # by all threads: what others do on this machine does not count
    print("interrupted", "soon" if spent < 0.5 else spent)
print(fc.conv1d(np.ones((64, 9000)), np.ones((64, 64, 5)), threads=2).max().round(9))
"""
    run = run_program(call)
    assert (run.stdout, run.stderr) == ("interrupted soon\n320.0\n", "")


@pytest.mark.skipif(not hasattr(signal, "ITIMER_PROF"), reason="the system has no timer for the time of a process")
@pytest.mark.parametrize(
    ("image", "weight", "call"),
    [
        ("ones(2048, 14, 14)", "ones(2048, 2048, 3, 3)", "fc.conv2d({}, padding=1, algorithm='direct')"),
        ("ones(4096, 14, 14)", "ones(4096, 4096, 1, 1)", "fc.conv2d({})"),
        ("ones(4, 512, 28, 28)", "ones(512, 512, 3, 3)", "fc.conv2d({}, padding=1)"),
        ("ones(1024, 28, 28)", "ones(1024, 1024, 3, 3)", "fc.conv2d({}, padding=1)"),
        ("ones(512, 28, 28).astype('f2')", "ones(512, 512, 3, 3).astype('f2')", "fc.conv2d({})"),
        ("ones(512, 33, 33)", "ones(512, 512, 3, 3)", "fc.conv2d({}, padding=18, dilation=18)"),  # position by position
        ("ones(512, 4, 258) + 0j", "ones(512, 512, 3, 3) + 0j", "fc.conv2d({})"),
        ("ones(512, 4, 258).astype('i2')", "ones(512, 512, 3, 3).astype('i2')", "fc.conv2d({})"),
        ("ones(1024, 5, 258).astype('i1')", "ones(1024, 1024, 3, 3).astype('i1')", "fc.conv2d({})"),
        ("ones(64, 6000)", "ones(64, 64, 2000)", "fc.conv1d({})"),
        ("ones(64, 6000)", "ones(64, 64, 2000)", "fc.conv1d({}, algorithm='direct')"),
        ("ones(64, 6000)", "ones(64, 64, 2000)", "fc.conv1d({}, algorithm='fft')"),
        ("ones(2000, 2000)", "ones(31, 31)", "fc.conv2d({})"),  # two passes
        ("ones(2000, 2000)", "ones(31, 31)", "fc.conv2d({}, algorithm='direct')"),
        ("ones(2000, 2000)", "ones(31, 31)", "fc.conv2d({}, algorithm='fft')"),
        ("ones(2000, 2000)", "ones(31, 31)", "fc.conv2d({}, padding_mode='reflect', padding=15)"),
        ("ones(64, 256, 256)", "ones(64, 1, 7, 7)", "fc.conv2d({}, groups=64)"),
        ("ones(128, 8, 56, 56)", "ones(128, 128, 3, 3, 3)", "fc.conv3d({}, padding=1)"),
        ("ones(2048, 8, 8)", "ones(2048, 2048, 3, 3)", "fc.FilterBank(weight, padding=1)(image)"),  # packs its weights
        ("ones(2048, 8, 8)", "ones(2048, 2048, 3, 3)", "fc.FilterBank(weight, algorithm='direct')(image)"),
        ("ones(64, 64, 64)", "ones(64, 64, 63, 63)", "fc.FilterBank(weight, algorithm='fft')(image)"),
        ("ones(3000, 3000)", "ones(1, 1, 5, 5)", "fc.Sequential(*[fc.FilterBank(weight, padding=2)] * 4)(image)"),
    ],
)
def test_an_interrupt_waits_for_a_tenth_of_a_second_of_work_at_most(image, weight, call):
    """A handler for ticks of the process' own time runs whenever a call asks for signals; what counts is the thread's time between."""
    run = run_program(f"""
def ones(*shape):
    return np.ones(shape, np.float32)
fc.set_num_threads(1)
image, weight = {image}, {weight}
asked = [time.thread_time()]
signal.signal(signal.SIGPROF, lambda *_: asked.append(time.thread_time()))
signal.setitimer(signal.ITIMER_PROF, 0.005, 0.005)
{call.format("image, weight")}
signal.setitimer(signal.ITIMER_PROF, 0)
asked.append(time.thread_time())
print(np.diff(asked).max())
""")
    assert run.stderr == ""
    assert float(run.stdout) < 0.2  # twice as long as promised, since machines differ


@pytest.mark.skipif(not hasattr(signal, "ITIMER_REAL"), reason="the system has no timer that sends signals")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("way", ["call", "finalizer"])
@pytest.mark.parametrize("large_first", [False, True])
@pytest.mark.parametrize("algorithm", ["direct", "auto", "fft"])
def test_a_signal_handler_may_convolve(algorithm, large_first, way, threads):
    """In the middle of a call, and needing a larger or a smaller workspace, by itself or in the finalizer of what it drops."""
    program = f"""
signal.alarm(40)
rng = np.random.default_rng(0)
def numbers(*shape):
    return rng.standard_normal(shape, np.float32)
options = {{"padding": 1, "threads": {threads}, "algorithm": {algorithm!r}}}
bank, twice = fc.FilterBank(numbers(64, 64, 3, 3), padding=1), fc.FilterBank(numbers(4, 4, 5, 5), padding=2)
calls = [
    (numbers({20 if algorithm == "fft" else 200}, 1, 128, 128), numbers(1, 1, 3, 3)),
    (numbers({1 if algorithm == "fft" else 8}, 64, 30, 38), numbers(64, 64, 3, 3)),
]{"[::-1]" if large_first else ""}
images = numbers(64, 20, 28), numbers(40, 4, 90, 90)
def convolve(n):
    return fc.conv2d(*calls[n], **options)
expected = convolve(0), convolve(1), bank(images[0]), twice(images[1])
wrong, handled = [], 0
def check(*results):
    wrong.extend(n for n, maps in results if not (maps == expected[n]).all())
class Dropped:
    def __del__(self):
        check((1, convolve(1)))
def handle(*_):
    global handled
    handled += 1
    if {way!r} == "finalizer":
        Dropped()
    else:  # the call that is interrupted, perhaps, among others
        check((1, convolve(1)), (0, convolve(0)), (2, bank(images[0], threads={threads})), (3, twice(images[1])))
signal.signal(signal.SIGALRM, handle)
for _ in range(200):
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    check((0, convolve(0)), (3, twice(images[1], threads={threads})))
    signal.setitimer(signal.ITIMER_REAL, 0)
    if handled == 5:
        break
print(handled, wrong)
"""
    run = run_program(program)
    assert (run.returncode, run.stdout, run.stderr) == (0, "5 []\n", "")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux tells where threads may run")
def test_workers_keep_off_the_callers_cpu():
    if (cpus := len(os.sched_getaffinity(0))) < 2:
        pytest.skip("there is one CPU")
    program = """
fc.conv2d(np.ones((64, 100, 100), np.float32), np.ones((64, 64, 3, 3), np.float32), threads=2)
others = {int(name) for name in os.listdir("/proc/self/task")} - {os.getpid()}
print(len(os.sched_getaffinity(0)), min(len(os.sched_getaffinity(thread)) for thread in others))
"""
    run = run_program(program)
    assert (run.stdout, run.stderr) == (f"{cpus} {cpus - 1}\n", "")


@pytest.mark.parametrize("before", ["", "fc.conv2d(image, weight, algorithm='fft', threads=2)"])
def test_a_call_when_python_ends_does_without_other_threads(before):
    program = f"""
import atexit
import numpy as np
image, weight = np.ones((3, 200, 200), np.float32), np.ones((2, 3, 21, 21), np.float32)
{before}
atexit.register(lambda: print(fc.conv2d(image, weight, algorithm="fft", threads=2).shape))
"""
    run = run_program(program)
    assert (run.stdout, run.stderr) == ("(2, 180, 180)\n", "")


# Numbers of threads, and the environment


def test_the_number_of_threads_is_kept():
    for n in (3, 1, 2):
        fc.set_num_threads(n)
        assert fc.get_num_threads() == n


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", None, True])
def test_a_number_of_threads_is_an_int_of_one_or_more(n):
    before = fc.get_num_threads()
    with pytest.raises((ValueError, TypeError), match=r"^n must be"):
        fc.set_num_threads(n)
    assert fc.get_num_threads() == before
    if n is not None:  # which stands for get_num_threads
        with pytest.raises((ValueError, TypeError), match=r"^threads must be"):
            fc.conv1d([1, 2, 3], [1, 1], threads=n)
        with pytest.raises((ValueError, TypeError), match=r"^threads must be"):
            fc.FilterBank([[[1, 1]]])([[1, 2, 3]], threads=n)


@pytest.mark.parametrize("n", ["1", "3", "200"])
def test_the_environment_sets_the_number_of_threads(n):
    assert run_program("print(fc.get_num_threads())", FASTCONV_NUM_THREADS=n).stdout == f"{n}\n"


def test_an_empty_environment_variable_is_none():
    run = run_program("print(fc.get_num_threads())", FASTCONV_NUM_THREADS="", FASTCONV_ISA="")
    assert int(run.stdout) >= 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs affinities")
def test_the_number_of_threads_is_at_most_that_of_the_cpus_of_this_process():
    run = run_program("print(fc.get_num_threads())", FASTCONV_NUM_THREADS="")
    assert 1 <= int(run.stdout) <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("n", ["257", "1000000", "9223372036854775808"])
def test_more_threads_than_the_pool_has_count_as_all_of_them(n):
    program = "import numpy as np; print(fc.get_num_threads(), fc.conv1d(np.ones(3), np.ones(2)))"
    assert run_program(program, FASTCONV_NUM_THREADS=n).stdout == "256 [2. 2.]\n"


@pytest.mark.parametrize("n", ["0", "-1", "two", "1.5", " ", "²", "9" * 5000])
def test_a_bad_number_of_threads_in_the_environment_is_refused(n):
    run = run_program("", FASTCONV_NUM_THREADS=n)
    assert run.stderr.splitlines()[-1].startswith("ValueError: FASTCONV_NUM_THREADS must be an int of 1 or more; got ")


@pytest.mark.parametrize("isa", _core.available_isas())
def test_the_environment_chooses_the_instruction_set(isa):
    assert run_program("print(fc._core.current_isa()[0])", FASTCONV_ISA=isa).stdout == f"{isa}\n"


@pytest.mark.parametrize("isa", ["mmx", "AVX2", "avx2 ", "é"])
def test_an_unknown_instruction_set_in_the_environment_is_refused(isa):
    run = run_program("", FASTCONV_ISA=isa)
    message = f"ValueError: FASTCONV_ISA must be one of {', '.join(_core.available_isas())} on this machine; got "
    assert run.stderr.splitlines()[-1].startswith(message)


def test_a_handler_may_convolve_while_a_call_is_being_planned():
    program = """
handled = []
def handler(*_):
    n = 5 + len(handled) % 50
    handled.append(fc.conv2d(np.ones((n, n)), np.ones((3, 3))))  # of a shape that is planned for, too
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005)
for n in range(2000):
    fc.conv1d(np.ones(10 + n, np.float32), np.ones(3, np.float32))
signal.signal(signal.SIGALRM, signal.SIG_IGN)
print(len(handled) > 10, {maps.max() for maps in handled})
"""
    run = run_program(program)
    assert (run.stdout, run.stderr) == ("True {np.float64(9.0)}\n", "")
