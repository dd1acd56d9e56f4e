/* Which instruction sets this machine can run: the only file that asks what CPU this is. */
#include "kernels.h"
#include <string.h>

extern const fc_isa fc_baseline, fc_avx2, fc_avx512, fc_neon;

#if defined(__x86_64__) || defined(_M_X64)
#  if defined(_MSC_VER) && !defined(__clang__)
#    include <intrin.h>
static void ask_cpu_part(unsigned leaf, unsigned part, unsigned registers[4]) {
    __cpuidex((int *)registers, (int)leaf, (int)part);
}
static unsigned long long saved_registers(void) { return _xgetbv(0); }
#  else /* not __builtin_cpu_supports, which some compilers' run-time libraries answer with 0 whatever the machine */
#    include <cpuid.h>
static void ask_cpu_part(unsigned leaf, unsigned part, unsigned registers[4]) {
    __cpuid_count(leaf, part, registers[0], registers[1], registers[2], registers[3]);
}
static unsigned long long saved_registers(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (unsigned long long)high << 32 | low;
}
#  endif

static void ask_cpu(unsigned leaf, unsigned registers[4]) { ask_cpu_part(leaf, 0, registers); }

/* Whether the CPU has FMA, F16C and these bits of CPUID leaf 7, EBX, and the system saves the registers of this XCR0 mask. */
static int has(unsigned leaf7, unsigned long long registers) {
    const unsigned fma = 1u << 12, osxsave = 1u << 27, f16c = 1u << 29, needed = fma | osxsave | f16c;
    unsigned leaf[4];
    ask_cpu(0, leaf);
    if (leaf[0] < 7) return 0;
    ask_cpu(1, leaf);
    if ((leaf[2] & needed) != needed || (saved_registers() & registers) != registers) return 0;
    ask_cpu(7, leaf);
    return (leaf[1] & leaf7) == leaf7;
}
static int has_avx2(void) { return has(1u << 5, 0x6); }
static int has_avx512(void) { return has_avx2() && has(1u << 16 | 1u << 31, 0xe6); }
#endif

#if defined(__aarch64__) && defined(__linux__)
#  include <sys/auxv.h>
static int multiplies_bytes(const char *isa) { return (void)isa, (int)(getauxval(AT_HWCAP) >> 20 & 1); } /* HWCAP_ASIMDDP */
#elif defined(__aarch64__) && defined(__APPLE__)
static int multiplies_bytes(const char *isa) { return (void)isa, 1; }
#elif defined(__x86_64__) || defined(_M_X64)
static int multiplies_bytes(const char *isa) {
    unsigned leaf[4];
    ask_cpu(7, leaf);
    if (!strcmp(isa, "avx512")) return (int)(leaf[2] >> 11 & 1); /* AVX512-VNNI */
    if (!leaf[0]) return 0;
    ask_cpu_part(7, 1, leaf);
    return (int)(leaf[0] >> 4 & 1); /* AVX-VNNI */
}
#else
static int multiplies_bytes(const char *isa) { return (void)isa, 0; }
#endif

const fc_kernels *fc_find_bytes(const fc_isa *isa) {
    return isa->fast_bytes && multiplies_bytes(isa->name) ? isa->fast_bytes : isa->plain_bytes;
}

const fc_isa *fc_find_isa(const char *name) {
    const fc_isa *isas[4];
    int count = 0;
#if defined(__x86_64__) || defined(_M_X64)
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
