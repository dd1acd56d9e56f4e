/* The pool of threads: every unit is computed once, in a workspace of its own, whoever else uses the pool. */
#include "check.h"
#include "threads.h"
#include "threads_os.h"

enum { UNITS = 1000, WORKSPACE = 1000, CALLERS = 4, ROUNDS = 100 };

typedef struct {
    os_atomic counts[UNITS];
    ptrdiff_t inner; /* units of a job inside each unit; below 0: none, but a little sleep */
    os_atomic wrong;
} job_of_counts;

static int never(void) { return 0; }
static int always(void) { return 1; }

static void run_unit(void *workspace, const void *constant, ptrdiff_t unit) {
    job_of_counts *job = (job_of_counts *)constant;
    unsigned char *const bytes = workspace;
    memset(bytes, (int)(unit & 255), WORKSPACE);
    if ((uintptr_t)workspace % 64) os_add(&job->wrong, 1);
    if (job->inner < 0) os_nap();
    if (job->inner > 0) {
        job_of_counts *inner = calloc(1, sizeof *inner);
        if (!inner || fc_run(run_unit, inner, job->inner, WORKSPACE, 2, never)) os_add(&job->wrong, 1);
        for (ptrdiff_t i = 0; inner && i < job->inner; i++)
            if (os_load(&inner->counts[i]) != 1) os_add(&job->wrong, 1);
        free(inner);
    }
    for (int i = 0; i < WORKSPACE; i++)
        if (bytes[i] != (unit & 255)) os_add(&job->wrong, 1);
    os_add(&job->counts[unit], 1);
}

/* Run so many units, and return whether each was computed once. */
static int counts_once(ptrdiff_t units, ptrdiff_t threads, ptrdiff_t inner) {
    job_of_counts *job = calloc(1, sizeof *job);
    if (!job) exit(2);
    job->inner = inner;
    int right = !fc_run(run_unit, job, units, WORKSPACE, threads, never) && !os_load(&job->wrong);
    for (ptrdiff_t unit = 0; unit < UNITS; unit++) right &= os_load(&job->counts[unit]) == (unit < units);
    free(job);
    return right;
}

static os_atomic callers_left, callers_wrong;

OS_THREAD_MAIN(call_often, place) {
    for (int i = 0; i < ROUNDS; i++)
        if (!counts_once(1 + (ptrdiff_t)(uintptr_t)place * 31 + i, 2 + i % 3, 0)) os_add(&callers_wrong, 1);
    os_add(&callers_left, -1);
    return 0;
}

int check_pool(void) {
    static const ptrdiff_t some[] = {1, 2, 7, 8, 9, UNITS};
    int checks = 0;
    for (ptrdiff_t threads = 1; threads < 9; threads++)
        for (size_t i = 0; i < sizeof some / sizeof *some; i++, checks++)
            if (!counts_once(some[i], threads, 0)) fail("pool: units are lost, or computed twice");
    for (int i = 0; i < ROUNDS; i++, checks++)
        if (!counts_once(20, 3, i % 10 ? 0 : -1)) fail("pool: units of one job after another"); /* some find workers asleep */
    if (!counts_once(40, 3, 5)) fail("pool: jobs inside a job");
    job_of_counts *job = calloc(1, sizeof *job);
    if (!job) exit(2);
    job->inner = -1;
    if (fc_run(run_unit, job, UNITS, WORKSPACE, 2, always) != -2) fail("pool: a job is not stopped");
    if (fc_run(run_unit, job, UNITS, PTRDIFF_MAX, 2, never) != -1) fail("pool: a workspace beyond all memory");
    free(job);
    if (!counts_once(UNITS, 2, 0)) fail("pool: after jobs that failed");
    os_thread threads[CALLERS];
    os_store(&callers_left, CALLERS);
    for (int i = 0; i < CALLERS; i++)
        if (!os_thread_start(&threads[i], call_often, (void *)(uintptr_t)i)) fail("pool: no thread");
    while (os_load(&callers_left)) os_nap();
    if (os_load(&callers_wrong)) fail("pool: several callers at once");
    return checks + 5;
}
