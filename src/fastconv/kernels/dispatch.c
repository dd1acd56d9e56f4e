/* Which instruction sets this machine can run: the only file that asks what CPU this is. */
#include "kernels.h"
#include <string.h>

extern const fc_isa fc_baseline, fc_avx2, fc_avx512, fc_neon;

#if defined(__x86_64__) && defined(__GNUC__)
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static int has_avx512(void) { return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"); }
#elif defined(_M_X64)
#  include <intrin.h>
/* Bits of CPUID leaf 7, EBX, for a CPU with FMA and a system that saves the registers of this XCR0 mask. */
static int has(unsigned leaf7, unsigned long long registers) {
    int leaf[4];
    __cpuid(leaf, 1);
    const int fma = 1 << 12, osxsave = 1 << 27;
    if (!(leaf[2] & fma) || !(leaf[2] & osxsave) || (_xgetbv(0) & registers) != registers) return 0;
    __cpuidex(leaf, 7, 0);
    return ((unsigned)leaf[1] & leaf7) == leaf7;
}
static int has_avx2(void) { return has(1u << 5, 0x6); }
static int has_avx512(void) { return has_avx2() && has(1u << 16 | 1u << 31, 0xe6); }
#endif

const fc_isa *fc_find_isa(const char *name) {
    const fc_isa *isas[4];
    int count = 0;
#if (defined(__x86_64__) && defined(__GNUC__)) || defined(_M_X64)
    if (has_avx512()) isas[count++] = &fc_avx512;
    if (has_avx2()) isas[count++] = &fc_avx2;
#elif defined(__aarch64__) || defined(_M_ARM64)
    isas[count++] = &fc_neon;
#endif
    isas[count++] = &fc_baseline;
    for (int i = 0; i < count; i++)
        if (!*name || !strcmp(name, isas[i]->name)) return isas[i];
    return NULL;
}
