#include "controlplane/sys/procstat.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/version.h"

static void emit_stat(struct metrics_out *out)
{
	FILE *f = fopen("/proc/self/stat", "re");
	unsigned long long utime, stime, start, vsize;
	long long rss;
	double hz = (double)sysconf(_SC_CLK_TCK), boot = 0;
	FILE *g = fopen("/proc/stat", "re");
	char line[256];

	while (g && fgets(line, sizeof(line), g))
		if (sscanf(line, "btime %lf", &boot) == 1)
			break;
	if (g)
		fclose(g);
	if (f == NULL)
		return;
	// Fields 14, 15, 22, 23, 24 of proc(5); the name in parentheses has no blank (ours).
	if (fscanf(f,
		   "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d "
		   "%llu %llu %lld",
		   &utime, &stime, &start, &vsize, &rss) == 5) {
		metrics_out_value(out, "rtcd_process_cpu_seconds_total", "counter",
				  "Total user and system CPU time spent in seconds.",
				  (double)(utime + stime) / hz);
		metrics_out_value(out, "rtcd_process_virtual_memory_bytes", "gauge",
				  "Virtual memory size in bytes.", (double)vsize);
		metrics_out_value(out, "rtcd_process_resident_memory_bytes", "gauge",
				  "Resident memory size in bytes.",
				  (double)rss * (double)sysconf(_SC_PAGESIZE));
		metrics_out_value(out, "rtcd_process_start_time_seconds", "gauge",
				  "Start time of the process since unix epoch in seconds.",
				  boot + (double)start / hz);
	}
	fclose(f);
}

static void emit_fds(struct metrics_out *out)
{
	DIR *d = opendir("/proc/self/fd");
	struct rlimit limit;
	int n = -3; // ".", "..", and the directory itself

	while (d && readdir(d))
		n++;
	if (d) {
		closedir(d);
		metrics_out_value(out, "rtcd_process_open_fds", "gauge", "Number of open file descriptors.",
				  n);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		metrics_out_value(out, "rtcd_process_max_fds", "gauge",
				  "Maximum number of open file descriptors.", (double)limit.rlim_cur);
	if (getrlimit(RLIMIT_AS, &limit) == 0)
		metrics_out_value(out, "rtcd_process_virtual_memory_max_bytes", "gauge",
				  "Maximum amount of virtual memory available in bytes.",
				  (double)limit.rlim_cur);
}

static void emit_loop(struct loop *l, struct metrics_out *out)
{
	struct loop_lag lag;

	loop_lag_take(l, &lag);
	metrics_out_value(out, "sluice_loop_turns_total", "counter", "turns of the event loop",
			  (double)lag.n_turns);
	metrics_out_value(out, "sluice_loop_late_turns_total", "counter",
			  "turns of the event loop that took longer than 100 ms", (double)lag.n_late);
	metrics_out_value(out, "sluice_loop_busy_seconds_total", "counter",
			  "time that the event loop was at work", (double)lag.busy / NS_PER_S);
	metrics_out_value(out, "sluice_loop_lag_seconds", "gauge",
			  "longest turn of the event loop since the scrape before: what others waited",
			  (double)lag.longest / NS_PER_S);
}

static void collect(void *loop, struct metrics_out *out)
{
	char label[128];

	emit_loop(loop, out);

	emit_stat(out);
	emit_fds(out);
	metrics_out_family(out, "sluice_build_info", "gauge", "1, with our version as label");
	snprintf(label, sizeof(label), "version=\"%s\"", version_commit);
	metrics_out_sample(out, label, 1);
}

int procstat_init(struct metrics *m, struct loop *loop)
{
	return metrics_collector(m, collect, loop);
}
