#include "tools/sluicegun/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Field of proc(5), counted from the one after the command name, which may hold anything but ends at the last ')'.
#define FIELD_RSS 21

int proc_stat_parse(struct str text, uint64_t *pages)
{
	const char *end = text.len ? memrchr(text.p, ')', text.len) : NULL;
	struct str rest, word = STR_NONE;

	if (end == NULL)
		return -EBADMSG;
	rest = str_skip(text, (size_t)(end - text.p) + 2);
	for (unsigned i = 0; i <= FIELD_RSS; i++)
		word = str_cut(&rest, ' ');
	return str_u64(word, UINT64_MAX, pages) ? 0 : -EBADMSG;
}

// The clock of a process counts all its threads in nanoseconds; /proc/PID/stat counts ticks of 10 ms.
static int read_cpu(int pid, uint64_t *us)
{
	clockid_t clock;
	struct timespec ts;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) < 0)
		return -ESRCH;
	*us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
	return 0;
}

static int read_one(int pid, struct proc_use *u)
{
	char path[64], text[2048];
	uint64_t us, pages;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	n = read(fd, text, sizeof(text));
	close(fd);
	if (n <= 0 || proc_stat_parse((struct str){text, (size_t)n}, &pages) < 0 || read_cpu(pid, &us) < 0)
		return -ESRCH;
	u->cpu_us += us;
	u->rss_bytes += pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

int proc_read(const int *pid, unsigned n, struct proc_use *u)
{
	*u = (struct proc_use){};
	for (unsigned i = 0; i < n; i++)
		if (read_one(pid[i], u) < 0)
			return -ESRCH;
	return 0;
}
