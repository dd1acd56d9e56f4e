/* What the pool of threads needs of the system: atomic integers, threads, a lock to sleep on, time. On Windows its own
   functions, which every compiler there knows; elsewhere C11's atomics and POSIX. For threads.c, and the check of
   the pool. */
#ifndef FASTCONV_THREADS_OS_H
#define FASTCONV_THREADS_OS_H
#include <stdint.h>
#include <stdlib.h>

/* os_atomic, an integer of 64 bits: os_load, os_store, os_add, which returns what was there before, and os_swap, which stores
   `next` if there was `before` and returns whether there was. All are sequentially consistent.
   os_thread_start starts a thread that is never joined; os_yield, os_nap: let others run, and sleep for 50 microseconds.
   os_lock, os_unlock, os_sleep, os_wake: a lock, sleep without it until woken, and wake all who sleep.
   os_at_exit_free: free this memory, in place of what was named before, when the calling thread ends.
   os_after_fork: call a function in the children of forks; return whether that is done, or there are no forks. */

#if defined(_WIN32)
#  define WIN32_LEAN_AND_MEAN
#  include <windows.h>
#  if !defined(CREATE_WAITABLE_TIMER_HIGH_RESOLUTION)
#    define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 2
#  endif

typedef volatile LONG64 os_atomic;
static inline int64_t os_load(os_atomic *a) {
#  if defined(_MSC_VER) && !defined(__clang__)
    return ReadAcquire64(a); /* which is enough beside the others, all of which are full barriers */
#  else
    return __atomic_load_n(a, __ATOMIC_SEQ_CST);
#  endif
}
static inline void os_store(os_atomic *a, int64_t value) { InterlockedExchange64(a, value); }
static inline int64_t os_add(os_atomic *a, int64_t value) { return InterlockedExchangeAdd64(a, value); }
static inline int os_swap(os_atomic *a, int64_t before, int64_t next) {
    return InterlockedCompareExchange64(a, next, before) == before;
}

typedef struct {
    SRWLOCK lock;
    CONDITION_VARIABLE woken;
} os_bed;
#  define OS_BED {SRWLOCK_INIT, CONDITION_VARIABLE_INIT}
static inline void os_lock(os_bed *bed) { AcquireSRWLockExclusive(&bed->lock); }
static inline void os_unlock(os_bed *bed) { ReleaseSRWLockExclusive(&bed->lock); }
static inline void os_sleep(os_bed *bed) { SleepConditionVariableSRW(&bed->woken, &bed->lock, INFINITE, 0); }
static inline void os_wake(os_bed *bed) { WakeAllConditionVariable(&bed->woken); }

typedef HANDLE os_thread;
#  define OS_THREAD_MAIN(name, argument) static DWORD WINAPI name(void *argument)
static inline int os_thread_start(os_thread *thread, LPTHREAD_START_ROUTINE main, void *argument) {
    *thread = CreateThread(NULL, 0, main, argument, 0, NULL);
    return *thread && CloseHandle(*thread);
}
static inline void os_yield(void) { SwitchToThread(); }
static inline void os_nap(void) { /* Sleep may take 16 ms */
    HANDLE timer = CreateWaitableTimerExW(NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_ALL_ACCESS);
    const LARGE_INTEGER after = {.QuadPart = -500}; /* times 100 ns from now */
    if (timer && SetWaitableTimer(timer, &after, 0, NULL, NULL, FALSE)) WaitForSingleObject(timer, INFINITE);
    else Sleep(0);
    if (timer) CloseHandle(timer);
}
static inline int64_t os_nanoseconds(void) {
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    const int64_t seconds = ticks.QuadPart / per_second.QuadPart, rest = ticks.QuadPart % per_second.QuadPart;
    return seconds * 1000000000 + rest * 1000000000 / per_second.QuadPart;
}

static DWORD os_exit_key;
static void NTAPI os_exit_free(void *memory) { free(memory); }
static BOOL CALLBACK os_make_exit_key(INIT_ONCE *once, void *argument, void **context) {
    (void)once, (void)argument, (void)context;
    os_exit_key = FlsAlloc(os_exit_free);
    return os_exit_key != FLS_OUT_OF_INDEXES;
}
static inline void os_at_exit_free(void *memory) {
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    if (InitOnceExecuteOnce(&once, os_make_exit_key, NULL, NULL)) FlsSetValue(os_exit_key, memory);
}
static inline int os_after_fork(void (*reset)(void)) { return (void)reset, 1; }

#else
#  include <pthread.h>
#  include <sched.h>
#  include <stdatomic.h>
#  include <time.h>

typedef _Atomic int64_t os_atomic;
static inline int64_t os_load(os_atomic *a) { return atomic_load(a); }
static inline void os_store(os_atomic *a, int64_t value) { atomic_store(a, value); }
static inline int64_t os_add(os_atomic *a, int64_t value) { return atomic_fetch_add(a, value); }
static inline int os_swap(os_atomic *a, int64_t before, int64_t next) {
    return atomic_compare_exchange_strong(a, &before, next);
}

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t woken;
} os_bed;
#  define OS_BED {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}
static inline void os_lock(os_bed *bed) { pthread_mutex_lock(&bed->lock); }
static inline void os_unlock(os_bed *bed) { pthread_mutex_unlock(&bed->lock); }
static inline void os_sleep(os_bed *bed) { pthread_cond_wait(&bed->woken, &bed->lock); }
static inline void os_wake(os_bed *bed) { pthread_cond_broadcast(&bed->woken); }

typedef pthread_t os_thread;
#  define OS_THREAD_MAIN(name, argument) static void *name(void *argument)
static inline int os_thread_start(os_thread *thread, void *(*main)(void *), void *argument) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    const int failure = pthread_create(thread, &attributes, main, argument);
    pthread_attr_destroy(&attributes);
    return !failure;
}
static inline void os_yield(void) { sched_yield(); }
static inline void os_nap(void) { nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL); }
static inline int64_t os_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static pthread_key_t os_exit_key;
static inline void os_make_exit_key(void) {
    if (pthread_key_create(&os_exit_key, free)) abort();
}
static inline void os_at_exit_free(void *memory) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, os_make_exit_key);
    pthread_setspecific(os_exit_key, memory);
}
static inline int os_after_fork(void (*reset)(void)) { return pthread_atfork(NULL, NULL, reset) == 0; }
#endif

/* Thread-local variables, alignment to a cache line, and what a spinning thread does meanwhile. */
#if defined(_MSC_VER) && !defined(__clang__)
#  define OS_THREAD_LOCAL __declspec(thread)
#  define OS_LINE __declspec(align(64))
#else
#  define OS_THREAD_LOCAL _Thread_local
#  define OS_LINE _Alignas(64)
#endif
#if defined(_WIN32)
#  define OS_RELAX() YieldProcessor()
#elif defined(__x86_64__)
#  define OS_RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#  define OS_RELAX() __asm__ volatile("yield")
#else
#  define OS_RELAX() ((void)0)
#endif
#endif
