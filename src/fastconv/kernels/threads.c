/* The pool: the units of a job are divided into a share of neighbours for every thread, the same in every job alike: what a
   core has in its caches from the job before, it mostly needs again. A thread claims units of its own share first, many at a
   time in the beginning and fewer towards the end, and then those that others have left. A worker without units spins for a
   while, then sleeps.

   The state of a share holds a generation, which counts jobs, in its upper half and the next unit to claim in its lower half.
   Threads claim by compare-and-swap, so a late one can never touch a job that is over. The child of a fork starts workers of
   its own. */
#define _GNU_SOURCE /* sched_getcpu, clock_gettime */
#include "threads.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAX_WORKERS = 255,
    SPIN_NANOSECONDS = 200000, /* that a worker without units spins: the next call of a loop mostly comes sooner */
    ASK_NANOSECONDS = 20000000, /* between questions whether to stop: an interrupt seems immediate */
    SPINS = 1000, /* of a thread that waits for others, before it yields */
    CLAIMS = 4, /* a thread claims 1 / CLAIMS of the units that are left in a share */
    LINE_BYTES = 64, /* of the cache */
    KEPT_BYTES = 1 << 24 /* the largest workspace that a thread keeps for its next job */
};

#if defined(_MSC_VER)
#  define THREAD_LOCAL __declspec(thread)
#else
#  define THREAD_LOCAL _Thread_local
#endif
#if defined(__unix__) || defined(__APPLE__)
#  include <pthread.h>
static pthread_key_t workspace_key;
static pthread_once_t workspace_once = PTHREAD_ONCE_INIT;
static void make_workspace_key(void) {
    if (pthread_key_create(&workspace_key, free)) abort();
}
/* Free the workspace of this thread when the thread ends. */
static void free_at_thread_exit(void *memory) {
    pthread_once(&workspace_once, make_workspace_key);
    pthread_setspecific(workspace_key, memory);
}
#else
static void free_at_thread_exit(void *memory) { (void)memory; }
#endif

/* The workspace that each thread keeps from job to job. While it is taken, a job inside a job, such as a signal handler or a
   finalizer may run, allocates another one. */
static THREAD_LOCAL struct {
    char *memory;
    size_t size;
    int taken;
} kept;

/* Return so many bytes, aligned to a cache line, and in `memory` what to release; NULL if there is no memory. */
static void *take_workspace(size_t bytes, char **memory) {
    const size_t size = bytes + LINE_BYTES;
    *memory = NULL;
    if (size < bytes) return NULL;
    if (!kept.taken && kept.size < size) {
        free(kept.memory);
        kept.memory = malloc(size);
        kept.size = kept.memory ? size : 0;
        free_at_thread_exit(kept.memory);
    }
    *memory = kept.taken ? malloc(size) : kept.memory;
    if (*memory == kept.memory) kept.taken = *memory != NULL;
    return *memory ? *memory + (LINE_BYTES - (size_t)*memory % LINE_BYTES) : NULL;
}

static void release_workspace(char *memory) {
    if (memory != kept.memory) {
        free(memory);
        return;
    }
    kept.taken = 0;
    if (kept.size <= KEPT_BYTES) return;
    free(kept.memory);
    kept.memory = NULL;
    kept.size = 0;
    free_at_thread_exit(NULL);
}

int fc_poisons;

/* In the debug mode, fill the workspace of a unit with NaN: all bits set are one in float and in double. */
static void poison(void *workspace, size_t bytes) {
    if (fc_poisons) memset(workspace, 0xFF, bytes);
}

static int64_t nanoseconds(void) {
    struct timespec now;
#if defined(CLOCK_MONOTONIC)
    clock_gettime(CLOCK_MONOTONIC, &now);
#else
    timespec_get(&now, TIME_UTC);
#endif
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* How the thread that called fc_run asks whether to stop; workers read it from the pool. */
static THREAD_LOCAL struct {
    fc_stop_fn stop;
    int64_t asked;
    int stopped;
} caller;

static void begin(fc_stop_fn stop) {
    caller.stop = stop;
    caller.asked = caller.stopped = 0;
}

/* Return whether to stop, asking if ASK_NANOSECONDS have passed since the last time, or since the first call for this job. */
static int is_stopped(void) {
    const int64_t now = nanoseconds();
    if (!caller.asked) caller.asked = now;
    if (caller.stopped || (now >= caller.asked && now - caller.asked < ASK_NANOSECONDS)) /* TIME_UTC may be set back */
        return caller.stopped;
    const fc_stop_fn stop = caller.stop;
    const int stopped = stop(); /* may run jobs inside this one */
    caller.stop = stop;
    caller.asked = now;
    caller.stopped = stopped;
    return stopped;
}

static int run_alone(fc_unit_fn run, const void *job, ptrdiff_t units, size_t workspace_bytes, fc_stop_fn stop) {
    char *memory;
    void *workspace = take_workspace(workspace_bytes, &memory);
    if (!workspace) return -1;
    begin(stop);
    for (ptrdiff_t unit = 0; unit < units && !(unit && is_stopped()); unit++) {
        poison(workspace, workspace_bytes);
        run(workspace, job, unit);
    }
    release_workspace(memory);
    return caller.stopped ? -2 : 0;
}

#if defined(_WIN32) || defined(__STDC_NO_ATOMICS__) || defined(__STDC_NO_THREADS__) && !defined(__unix__) && !defined(__APPLE__)

int fc_run(fc_unit_fn run, const void *job, ptrdiff_t units, size_t workspace_bytes, ptrdiff_t threads, fc_stop_fn stop) {
    (void)threads;
    return run_alone(run, job, units, workspace_bytes, stop);
}

int fc_stopping(void) { return is_stopped(); }

#else
#  include <sched.h>
#  include <stdatomic.h>
#  if defined(__x86_64__)
#    define RELAX() __builtin_ia32_pause()
#  elif defined(__aarch64__)
#    define RELAX() __asm__ volatile("yield")
#  else
#    define RELAX() ((void)0)
#  endif

typedef struct {
    _Alignas(64) _Atomic uint64_t state; /* generation << 32 | next unit; none is left once that reaches the end */
    _Atomic uint32_t end;
} fc_share;

static struct {
    fc_share share[MAX_WORKERS + 1]; /* the caller's, then those of workers */
    _Alignas(64) _Atomic ptrdiff_t left; /* units of this job that are not claimed */
    _Alignas(64) _Atomic ptrdiff_t done; /* units of this job that are computed */
    _Alignas(64) atomic_flag busy;
    _Atomic int sleepers;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    int workers, watches_forks;
    pthread_t worker[MAX_WORKERS];
    int avoided_cpu; /* the CPU that workers do not run on, plus 1; 0: none */
    /* The job. Written only while no unit can be claimed. */
    _Atomic(fc_unit_fn) run;
    _Atomic(const void *) job;
    _Atomic size_t workspace_bytes;
    _Atomic uint32_t threads; /* and shares of units */
    _Atomic int helpers; /* workers that may still join */
    _Atomic int status;  /* 0, or the negative result of fc_run: skip the units that are left */
} pool = {.busy = ATOMIC_FLAG_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

/* Spin at first, then yield, since the thread waited for may need this CPU, then sleep. */
static void wait_a_little(int turns) {
    if (turns < SPINS) RELAX();
    else if (turns < 2 * SPINS) sched_yield();
    else nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

static int has_units(void) { return atomic_load(&pool.left) > 0; }

/* Claim and compute units of a share until none is left; on the calling thread also ask whether to stop. */
static void work_on(fc_share *share) {
    for (;;) {
        uint64_t state = atomic_load_explicit(&share->state, memory_order_acquire);
        fc_unit_fn run = atomic_load_explicit(&pool.run, memory_order_relaxed);
        const void *job = atomic_load_explicit(&pool.job, memory_order_relaxed);
        const size_t bytes = atomic_load_explicit(&pool.workspace_bytes, memory_order_relaxed);
        const uint32_t end = atomic_load_explicit(&share->end, memory_order_relaxed), first = (uint32_t)state;
        if (first >= end) return;
        const uint32_t some = end - first > CLAIMS ? (end - first) / CLAIMS : 1;
        /* Success means that the generation is still the one whose job was read. */
        if (!atomic_compare_exchange_weak(&share->state, &state, state + some)) continue;
        atomic_fetch_sub(&pool.left, some);
        char *memory;
        void *workspace = take_workspace(bytes, &memory);
        if (!workspace) atomic_store(&pool.status, -1);
        for (uint32_t unit = first; unit < first + some; unit++) {
            if (!atomic_load_explicit(&pool.status, memory_order_relaxed)) {
                poison(workspace, bytes);
                run(workspace, job, (ptrdiff_t)unit);
            }
            if (caller.stop && is_stopped()) atomic_store(&pool.status, -2);
        }
        release_workspace(memory);
        atomic_fetch_add_explicit(&pool.done, some, memory_order_release); /* x86 waits for non-temporal stores too */
    }
}

/* Compute units of a thread's own share, then of those behind it; `place`: 0 on the calling thread, 1 and more on workers. */
static void work(uint32_t place) {
    const uint32_t threads = atomic_load(&pool.threads), own = place ? 1 + (place - 1) % (threads - 1) : 0; /* two at least */
    for (uint32_t i = 0; i < threads; i++) work_on(&pool.share[(own + i) % threads]);
}

int fc_stopping(void) { return caller.stop ? is_stopped() : atomic_load_explicit(&pool.status, memory_order_relaxed) != 0; }

static void *worker(void *place) {
    for (;;) {
        const int64_t start = nanoseconds();
        while (!has_units() && nanoseconds() - start < SPIN_NANOSECONDS)
            for (int i = 0; i < 100 && !has_units(); i++) RELAX();
        if (has_units()) {
            if (atomic_fetch_sub(&pool.helpers, 1) > 0) work((uint32_t)(uintptr_t)place);
            for (int i = 0; has_units(); i++) wait_a_little(i); /* enough workers have joined */
            continue;
        }
        pthread_mutex_lock(&pool.mutex);
        atomic_fetch_add(&pool.sleepers, 1);
        while (!has_units()) pthread_cond_wait(&pool.wake, &pool.mutex);
        atomic_fetch_sub(&pool.sleepers, 1);
        pthread_mutex_unlock(&pool.mutex);
    }
    return NULL;
}

/* Keep workers off the caller's CPU: schedulers tend to wake them there, where they would wait until the caller is done. */
static void avoid_caller_cpu(void) {
#  if defined(__linux__)
    const int cpu = sched_getcpu();
    cpu_set_t others;
    if (cpu < 0 || cpu + 1 == pool.avoided_cpu || sched_getaffinity(0, sizeof others, &others)) return;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others))
        for (int i = 0; i < pool.workers; i++) pthread_setaffinity_np(pool.worker[i], sizeof others, &others);
    pool.avoided_cpu = cpu + 1;
#  endif
}

/* After a fork the child has no workers, and locks may be held by threads that it does not have: all start anew. */
static void reset_after_fork(void) {
    pool.workers = pool.avoided_cpu = 0;
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.left, 0);
    for (int i = 0; i <= MAX_WORKERS; i++) atomic_store(&pool.share[i].end, 0);
    atomic_flag_clear(&pool.busy);
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.wake, NULL);
}

static void start_workers(ptrdiff_t workers) {
    if (!pool.watches_forks) pool.watches_forks = pthread_atfork(NULL, NULL, reset_after_fork) == 0;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (pool.workers < workers && pool.workers < MAX_WORKERS && pool.watches_forks) {
        void *const place = (void *)(uintptr_t)(pool.workers + 1);
        if (pthread_create(&pool.worker[pool.workers], &attributes, worker, place)) break;
        pool.workers++;
        pool.avoided_cpu = 0;
    }
    pthread_attr_destroy(&attributes);
}

int fc_run(fc_unit_fn run, const void *job, ptrdiff_t units, size_t workspace_bytes, ptrdiff_t threads, fc_stop_fn stop) {
    if (threads <= 1 || units <= 1 || units >= UINT32_MAX || atomic_flag_test_and_set(&pool.busy))
        return run_alone(run, job, units, workspace_bytes, stop);
    if (threads > units) threads = units;
    if (threads > MAX_WORKERS + 1) threads = MAX_WORKERS + 1;
    start_workers(threads - 1);
    avoid_caller_cpu();
    atomic_store(&pool.run, run);
    atomic_store(&pool.job, job);
    atomic_store(&pool.workspace_bytes, workspace_bytes);
    atomic_store(&pool.helpers, (int)(threads - 1));
    atomic_store(&pool.status, 0);
    atomic_store(&pool.done, 0);
    const uint64_t generation = (atomic_load(&pool.share[0].state) >> 32) + 1;
    atomic_store(&pool.threads, (uint32_t)threads);
    for (ptrdiff_t i = 0; i < threads; i++) {
        fc_share *const share = &pool.share[i];
        atomic_store(&share->end, 0);
        atomic_store(&share->state, generation << 32 | (uint64_t)units * (uint64_t)i / (uint64_t)threads);
        atomic_store(&share->end, (uint32_t)((uint64_t)units * (uint64_t)(i + 1) / (uint64_t)threads));
    }
    atomic_fetch_add(&pool.left, units); /* of which some may be claimed already */
    if (atomic_load(&pool.sleepers)) {
        pthread_mutex_lock(&pool.mutex);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.mutex);
    }
    begin(stop);
    work(0);
    for (int i = 0; atomic_load_explicit(&pool.done, memory_order_acquire) < units; i++) {
        wait_a_little(i);
        if (i >= SPINS && is_stopped()) atomic_store(&pool.status, -2); /* a worker's last unit may be long */
    }
    const int status = atomic_load(&pool.status);
    atomic_flag_clear(&pool.busy);
    return status;
}
#endif
