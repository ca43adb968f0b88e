/* Where callgrind begins to count and where it writes the count down; called through ctypes. */
#include <valgrind/callgrind.h>

void begin_count(void) {
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

void end_count(const char *name) {
    CALLGRIND_DUMP_STATS_AT(name);
    CALLGRIND_STOP_INSTRUMENTATION;
}
