/* The pool: the units of a job are divided into a share of neighbours for every thread, the same in every job alike: what a
   core has in its caches from the job before, it mostly needs again. A thread claims units of its own share first, many at a
   time in the beginning and fewer towards the end, and then those that others have left. A worker without units spins for a
   while, then sleeps.

   The state of a share holds a generation, which counts jobs, in its upper half and the next unit to claim in its lower half.
   Threads claim by compare-and-swap, so a late one can never touch a job that is over. The child of a fork starts workers of
   its own. */
#define _GNU_SOURCE /* sched_getcpu, pthread_setaffinity_np */
#include "threads.h"
#include "threads_os.h"
#include <string.h>

enum {
    MAX_WORKERS = 255,
    SPIN_NANOSECONDS = 200000, /* that a worker without units spins: the next call of a loop mostly comes sooner */
    ASK_NANOSECONDS = 20000000, /* between questions whether to stop: an interrupt seems immediate */
    SPINS = 1000, /* of a thread that waits for others, before it yields */
    CLAIMS = 4, /* a thread claims 1 / CLAIMS of the units that are left in a share */
    LINE_BYTES = 64, /* of the cache */
    KEPT_BYTES = 1 << 24 /* the largest workspace that a thread keeps for its next job */
};

/* The workspace that each thread keeps from job to job. While it is taken, a job inside a job, such as a signal handler or a
   finalizer may run, allocates another one. */
static OS_THREAD_LOCAL struct {
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
        os_at_exit_free(kept.memory);
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
    os_at_exit_free(NULL);
}

int fc_poisons;

/* In the debug mode, fill the workspace of a unit with NaN: all bits set are one in float and in double. */
static void poison(void *workspace, size_t bytes) {
    if (fc_poisons) memset(workspace, 0xFF, bytes);
}

/* How the thread that called fc_run asks whether to stop; workers read it from the pool. */
static OS_THREAD_LOCAL struct {
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
    const int64_t now = os_nanoseconds();
    if (!caller.asked) caller.asked = now;
    if (caller.stopped || now - caller.asked < ASK_NANOSECONDS) return caller.stopped;
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

typedef struct {
    OS_LINE os_atomic state; /* generation << 32 | next unit; none is left once that reaches the end */
    os_atomic end;
} fc_share;

static struct {
    fc_share share[MAX_WORKERS + 1]; /* the caller's, then those of workers */
    OS_LINE os_atomic left; /* units of this job that are not claimed */
    OS_LINE os_atomic done; /* units of this job that are computed */
    OS_LINE os_atomic busy;
    os_atomic sleepers;
    os_bed bed; /* of workers */
    int workers, watches_forks;
    os_thread worker[MAX_WORKERS];
    int avoided_cpu; /* the CPU that workers do not run on, plus 1; 0: none */
    /* The job. Written only while no unit can be claimed. */
    os_atomic run, job; /* a function and a pointer */
    os_atomic workspace_bytes;
    os_atomic threads; /* and shares of units */
    os_atomic helpers; /* workers that may still join */
    os_atomic status;  /* 0, or the negative result of fc_run: skip the units that are left */
} pool = {.bed = OS_BED};

/* Spin at first, then yield, since the thread waited for may need this CPU, then sleep. */
static void wait_a_little(int turns) {
    if (turns < SPINS) OS_RELAX();
    else if (turns < 2 * SPINS) os_yield();
    else os_nap();
}

static int has_units(void) { return os_load(&pool.left) > 0; }

/* Claim and compute units of a share until none is left; on the calling thread also ask whether to stop. */
static void work_on(fc_share *share) {
    for (;;) {
        const int64_t state = os_load(&share->state);
        const fc_unit_fn run = (fc_unit_fn)(intptr_t)os_load(&pool.run);
        const void *job = (const void *)(intptr_t)os_load(&pool.job);
        const size_t bytes = (size_t)os_load(&pool.workspace_bytes);
        const uint32_t end = (uint32_t)os_load(&share->end), first = (uint32_t)state;
        if (first >= end) return;
        const uint32_t some = end - first > CLAIMS ? (end - first) / CLAIMS : 1;
        /* Success means that the generation is still the one whose job was read. */
        if (!os_swap(&share->state, state, state + some)) continue;
        os_add(&pool.left, -(int64_t)some);
        char *memory;
        void *workspace = take_workspace(bytes, &memory);
        if (!workspace) os_store(&pool.status, -1);
        for (uint32_t unit = first; unit < first + some; unit++) {
            if (!os_load(&pool.status)) {
                poison(workspace, bytes);
                run(workspace, job, (ptrdiff_t)unit);
            }
            if (caller.stop && is_stopped()) os_store(&pool.status, -2);
        }
        release_workspace(memory);
        os_add(&pool.done, some); /* x86 waits for non-temporal stores too */
    }
}

/* Compute units of a thread's own share, then of those behind it; `place`: 0 on the calling thread, 1 and more on workers. */
static void work(uint32_t place) {
    const uint32_t threads = (uint32_t)os_load(&pool.threads); /* two at least */
    const uint32_t own = place ? 1 + (place - 1) % (threads - 1) : 0;
    for (uint32_t i = 0; i < threads; i++) work_on(&pool.share[(own + i) % threads]);
}

int fc_stopping(void) { return caller.stop ? is_stopped() : os_load(&pool.status) != 0; }

OS_THREAD_MAIN(worker, place) {
    for (;;) {
        const int64_t start = os_nanoseconds();
        while (!has_units() && os_nanoseconds() - start < SPIN_NANOSECONDS)
            for (int i = 0; i < 100 && !has_units(); i++) OS_RELAX();
        if (has_units()) {
            if (os_add(&pool.helpers, -1) > 0) work((uint32_t)(uintptr_t)place);
            for (int i = 0; has_units(); i++) wait_a_little(i); /* enough workers have joined */
            continue;
        }
        os_lock(&pool.bed);
        os_add(&pool.sleepers, 1);
        while (!has_units()) os_sleep(&pool.bed);
        os_add(&pool.sleepers, -1);
        os_unlock(&pool.bed);
    }
    return 0;
}

/* Keep workers off the caller's CPU: schedulers tend to wake them there, where they would wait until the caller is done. */
static void avoid_caller_cpu(void) {
#if defined(__linux__)
    const int cpu = sched_getcpu();
    cpu_set_t others;
    if (cpu < 0 || cpu + 1 == pool.avoided_cpu || sched_getaffinity(0, sizeof others, &others)) return;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others))
        for (int i = 0; i < pool.workers; i++) pthread_setaffinity_np(pool.worker[i], sizeof others, &others);
    pool.avoided_cpu = cpu + 1;
#endif
}

/* After a fork the child has no workers, and locks may be held by threads that it does not have: all start anew. */
static void reset_after_fork(void) {
    pool.workers = pool.avoided_cpu = 0;
    os_store(&pool.sleepers, 0);
    os_store(&pool.left, 0);
    for (int i = 0; i <= MAX_WORKERS; i++) os_store(&pool.share[i].end, 0);
    os_store(&pool.busy, 0);
    pool.bed = (os_bed)OS_BED;
}

static void start_workers(ptrdiff_t workers) {
    if (!pool.watches_forks) pool.watches_forks = os_after_fork(reset_after_fork);
    while (pool.workers < workers && pool.workers < MAX_WORKERS && pool.watches_forks) {
        if (!os_thread_start(&pool.worker[pool.workers], worker, (void *)(uintptr_t)(pool.workers + 1))) break;
        pool.workers++;
        pool.avoided_cpu = 0;
    }
}

int fc_run(fc_unit_fn run, const void *job, ptrdiff_t units, size_t workspace_bytes, ptrdiff_t threads, fc_stop_fn stop) {
    if (threads <= 1 || units <= 1 || units >= UINT32_MAX || os_load(&pool.busy) || !os_swap(&pool.busy, 0, 1))
        return run_alone(run, job, units, workspace_bytes, stop);
    if (threads > units) threads = units;
    if (threads > MAX_WORKERS + 1) threads = MAX_WORKERS + 1;
    start_workers(threads - 1);
    avoid_caller_cpu();
    os_store(&pool.run, (int64_t)(intptr_t)run);
    os_store(&pool.job, (int64_t)(intptr_t)job);
    os_store(&pool.workspace_bytes, (int64_t)workspace_bytes);
    os_store(&pool.helpers, threads - 1);
    os_store(&pool.status, 0);
    os_store(&pool.done, 0);
    const uint64_t generation = ((uint64_t)os_load(&pool.share[0].state) >> 32) + 1;
    os_store(&pool.threads, threads);
    for (ptrdiff_t i = 0; i < threads; i++) {
        fc_share *const share = &pool.share[i];
        os_store(&share->end, 0);
        os_store(&share->state, (int64_t)(generation << 32 | (uint64_t)units * (uint64_t)i / (uint64_t)threads));
        os_store(&share->end, (int64_t)((uint64_t)units * (uint64_t)(i + 1) / (uint64_t)threads));
    }
    os_add(&pool.left, units); /* of which some may be claimed already */
    if (os_load(&pool.sleepers)) {
        os_lock(&pool.bed);
        os_wake(&pool.bed);
        os_unlock(&pool.bed);
    }
    begin(stop);
    work(0);
    for (int i = 0; os_load(&pool.done) < units; i++) {
        wait_a_little(i);
        if (i >= SPINS && is_stopped()) os_store(&pool.status, -2); /* a worker's last unit may be long */
    }
    const int status = (int)os_load(&pool.status);
    os_store(&pool.busy, 0);
    return status;
}
