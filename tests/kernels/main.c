/* The micro-kernels of every instruction set that this machine can run, against naive loops over small integers, whose sums
   are exact. Exits with 1 after the first micro-kernel that is wrong. .ci/kernels compiles and runs it. */
#include "check.h"
#include <math.h>
#include <signal.h>
#if !defined(_WIN32)
#  include <sys/wait.h>
#  include <unistd.h>
#endif

const char *isa_name;
int is_double;
static int checks;

double get(const void *array, ptrdiff_t i) { return is_double ? ((const double *)array)[i] : ((const float *)array)[i]; }

void put(void *array, ptrdiff_t i, double value) {
    if (is_double)
        ((double *)array)[i] = value;
    else
        ((float *)array)[i] = (float)value;
}

size_t bytes(ptrdiff_t count) { return (size_t)count * (is_double ? sizeof(double) : sizeof(float)); }

void *at(const void *array, ptrdiff_t i) { return (char *)array + bytes(i); }

void *draw(ptrdiff_t count) {
    static unsigned state = 1;
    void *array = malloc(bytes(count));
    if (!array) exit(2);
    for (ptrdiff_t i = 0; i < count; i++) {
        state = state * 1664525 + 1013904223;
        put(array, i, (double)(state >> 16) - (state >> 16) / 9 * 9.0 - 4);
    }
    return array;
}

void *copy(const void *array, ptrdiff_t count) { return memcpy(draw(count), array, bytes(count)); }

void *aligned(void *array, ptrdiff_t lanes) {
    return at(array, lanes - (ptrdiff_t)((uintptr_t)array % bytes(lanes) / bytes(1)));
}

double clip(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

void compare(void *found, void *expected, ptrdiff_t count, const char *kernel, ptrdiff_t a, ptrdiff_t b, ptrdiff_t c) {
    for (ptrdiff_t i = 0; i < count; i++)
        if (!(get(found, i) == get(expected, i)) && !(isnan(get(found, i)) && isnan(get(expected, i)))) {
            printf("%s float%d %s %td x %td (%td): %g instead of %g at %td\n", isa_name, is_double ? 64 : 32, kernel, a, b,
                   c, get(found, i), get(expected, i), i);
            exit(1);
        }
    free(found);
    free(expected);
    checks++;
}

void fail(const char *what) {
    printf("%s float%d: %s\n", isa_name, is_double ? 64 : 32, what);
    exit(1);
}

/* In a build with FC_CHECKS, a tile without taps ends the process that computes it. */
static void check_expectations(const fc_kernels *kernels) {
#if defined(FC_CHECKS) && !defined(_WIN32)
    int status;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const fc_tile tile = {.taps = 0};
        if (!freopen("/dev/null", "w", stderr)) exit(2);
        kernels->tile[1][1](&tile);
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        fail("a tile without taps passes");
    checks++;
#else
    (void)kernels;
#endif
}

int main(void) {
    static const char *const names[] = {"avx512", "avx2", "neon", "baseline"};
    for (int i = 0; i < 4; i++) {
        const fc_isa *isa = fc_find_isa(names[i]);
        if (!isa) continue;
        isa_name = isa->name;
        checks = 0;
        for (is_double = 0; is_double < 2; is_double++) {
            const fc_kernels *kernels = is_double ? &isa->f64 : &isa->f32;
            check_expectations(kernels);
            check_tiles(kernels);
            check_interleaved_rows(kernels);
            check_sweeps(kernels);
            check_stacks(kernels);
            check_forms(kernels);
            check_movement(kernels);
            check_gradients(kernels);
            check_missing(kernels);
            check_activations(kernels);
            check_conversions(kernels);
            check_boxes(kernels);
            check_transforms(kernels);
        }
        is_double = 0;
        if (fc_find_bytes(isa)) check_bytes(fc_find_bytes(isa));
        if (isa->plain_bytes && isa->plain_bytes != fc_find_bytes(isa)) check_bytes(isa->plain_bytes);
        printf("%s: %d checks\n", isa_name, checks);
    }
    isa_name = "any";
    printf("pool: %d checks\n", check_pool());
    return 0;
}
