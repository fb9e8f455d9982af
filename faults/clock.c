/* Adds to the wall clock of a process what the file FAULTS_CLOCK says, in seconds. Preloaded by the faults
 * of the clock. libfaketime does not work with Redis, whose allocator asks for the time before the
 * library is ready: this one calls the kernel, needs no memory and leaves the monotonic clocks alone. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
    static __thread int reading;
    char text[32] = {0};
    const char *file = reading ? NULL : getenv("FAULTS_CLOCK");
    if (file == NULL)
        return 0;
    reading = 1;
    int handle = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
    if (handle >= 0) {
        syscall(SYS_read, handle, text, sizeof text - 1);
        syscall(SYS_close, handle);
    }
    reading = 0;
    return strtol(text, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int result = syscall(SYS_gettimeofday, now, zone);
    if (result == 0 && now != NULL)
        now->tv_sec += offset();
    return result;
}

time_t time(time_t *now) {
    struct timespec spec;
    clock_gettime(CLOCK_REALTIME, &spec);
    if (now != NULL)
        *now = spec.tv_sec;
    return spec.tv_sec;
}
