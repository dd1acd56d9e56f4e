#!/usr/bin/env bash
# ziglang 0.17.1 (`zig cc`, x86-64 Linux): __builtin_cpu_supports answers 0 for every feature, without an error or a warning.
#
# Expected: as with gcc and clang, a number that is not 0 for "sse2", which every x86-64 has; a program that chooses its
# kernels by it runs the best ones of the machine.
# Seen: 0, also after __builtin_cpu_init(), so that such a program runs its slowest kernels. CPUID read by hand is right.
set -euo pipefail
[ "$(uname -m)" = x86_64 ] || { echo "x86-64 only"; exit 0; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet ziglang==0.17.1
cat > "$scratch/program.c" << 'END'
#include <cpuid.h>
#include <stdio.h>
int main(void) {
    unsigned a, b, c, d;
    __cpuid(1, a, b, c, d);
    __builtin_cpu_init();
    printf("sse2: %d by __builtin_cpu_supports, %d by CPUID\n", __builtin_cpu_supports("sse2") != 0, (int)(d >> 26 & 1));
    return __builtin_cpu_supports("sse2") || !(d >> 26 & 1);
}
END
export ZIG_GLOBAL_CACHE_DIR=$scratch/cache ZIG_LOCAL_CACHE_DIR=$scratch/cache
"$scratch/venv/bin/python" -m ziglang cc "$scratch/program.c" -o "$scratch/program"
"$scratch/program" || { echo "this has changed"; exit 1; }
