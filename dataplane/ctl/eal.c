#include "dataplane/ctl/eal.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "dataplane/port/port.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

#define MAX_ARGS 48
#define MAX_TEXT 16384

// Arguments being collected; text holds what is made up here.
struct args {
	int n;
	char *v[MAX_ARGS + 1];
	struct wbuf text;
	char bytes[MAX_TEXT];
};

struct eal_plan eal_plan(const struct conf *conf)
{
	uint16_t core[PORT_MAX_WORKERS];
	int n = conf_cores(conf->dataplane.worker_cores, core, PORT_MAX_WORKERS);
	const char *idle = conf->dataplane.idle;
	struct eal_plan plan = {.n_workers = n > 0 ? (unsigned)n : 1};

	plan.sleeps = strcmp(idle, "sleep") == 0 || (strcmp(idle, "auto") == 0 && n <= 0);
	return plan;
}

static void add_arg(struct args *a, const char *arg)
{
	char *at = (char *)a->text.p;

	wbuf_bytes(&a->text, arg, strlen(arg) + 1);
	if (!a->text.full && a->n < MAX_ARGS)
		a->v[a->n++] = at;
}

// "(0,1,5)": every CPU this process may run on.
static void write_any_cpu(struct wbuf *w)
{
	cpu_set_t set;
	char sep = '(';

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set)) {
			wbuf_printf(w, "%c%d", sep, i);
			sep = ',';
		}
	wbuf_u8(w, ')');
}

static void add_lcores(struct args *a, const struct conf *conf, const struct eal_plan *plan)
{
	uint16_t core[PORT_MAX_WORKERS];
	int n_pinned = conf_cores(conf->dataplane.worker_cores, core, PORT_MAX_WORKERS);
	char text[8192];
	struct wbuf w = wbuf_of(text, sizeof(text));

	wbuf_printf(&w, "0@");
	if (conf->dataplane.main_core >= 0)
		wbuf_printf(&w, "%d", conf->dataplane.main_core);
	else
		write_any_cpu(&w);
	for (unsigned i = 0; i < plan->n_workers; i++) {
		wbuf_printf(&w, ",%u@", i + 1);
		if (n_pinned > 0)
			wbuf_printf(&w, "%u", core[i]);
		else
			write_any_cpu(&w);
	}
	wbuf_u8(&w, 0);
	add_arg(a, "--lcores");
	add_arg(a, text);
}

static bool is_pci(const char *spec)
{
	unsigned d, b, s, f;

	return sscanf(spec, "%x:%x:%x.%x", &d, &b, &s, &f) == 4 || sscanf(spec, "%x:%x.%x", &b, &s, &f) == 3;
}

static bool needs_pci(const struct conf *conf)
{
	for (unsigned i = 0; i < conf->dataplane.ports.n; i++)
		if (is_pci(conf->dataplane.ports.item[i]))
			return true;
	return false;
}

static void add_extra(struct args *a, const char *text)
{
	struct str rest = str_of(text);

	while (rest.len > 0) {
		struct str word = str_cut(&rest, ' ');
		char arg[256];
		if (word.len > 0 && str_copy(word, arg, sizeof(arg)))
			add_arg(a, arg);
	}
}

// Cores that are named and not ours to use: EAL would answer with its whole usage text.
static int check_cores(const struct conf *conf, char *error, size_t error_size)
{
	uint16_t core[PORT_MAX_WORKERS];
	int n = conf_cores(conf->dataplane.worker_cores, core, PORT_MAX_WORKERS);
	cpu_set_t set;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (int i = 0; i < n; i++)
		if (core[i] >= CPU_SETSIZE || !CPU_ISSET(core[i], &set)) {
			snprintf(error, error_size,
				 "dataplane.worker_cores: core %u is not available to this process (see "
				 "nproc, taskset, "
				 "cpuset)",
				 core[i]);
			return -ENODEV;
		}
	if (conf->dataplane.main_core >= 0 &&
	    (conf->dataplane.main_core >= CPU_SETSIZE || !CPU_ISSET(conf->dataplane.main_core, &set))) {
		snprintf(error, error_size, "dataplane.main_core: core %d is not available to this process",
			 conf->dataplane.main_core);
		return -ENODEV;
	}
	return 0;
}

static uint64_t read_number(const char *folder, const char *name)
{
	char path[PATH_MAX];
	uint64_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%" SCNu64, &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

// MiB of hugepages of all sizes that EAL can have: free ones, and those that the kernel would make on demand.
static uint64_t free_hugepages(void)
{
	glob_t found;
	uint64_t total = 0, kib;

	if (glob("/sys/kernel/mm/hugepages/hugepages-*kB", 0, NULL, &found) != 0)
		return 0;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *folder = found.gl_pathv[i];
		uint64_t most = read_number(folder, "nr_overcommit_hugepages"),
			 made = read_number(folder, "surplus_hugepages");

		if (sscanf(folder, "/sys/kernel/mm/hugepages/hugepages-%" SCNu64, &kib) == 1)
			total += kib * (read_number(folder, "free_hugepages") + most - RTE_MIN(made, most));
	}
	globfree(&found);
	return total >> 10;
}

// Memory that is not there: EAL would say so in words of its own, or be killed when it is touched.
static int check_memory(const struct conf *conf, char *error, size_t error_size)
{
	uint32_t wanted = conf->dataplane.memory_mib;
	bool is_huge = conf->dataplane.hugepages;
	uint64_t has = is_huge ? free_hugepages()
			       : (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20;

	if (wanted <= has)
		return 0;
	if (is_huge)
		snprintf(error, error_size,
			 "dataplane.memory_mib: %" PRIu64 " MiB of hugepages are free, %u are asked for: "
			 "reserve more (sysctl vm.nr_hugepages=%u for pages of 2 MiB), ask for less, or set "
			 "dataplane.hugepages: false",
			 has, wanted, (wanted + 1) / 2);
	else
		snprintf(error, error_size,
			 "dataplane.memory_mib: this machine has %" PRIu64
			 " MiB, %u are asked for: ask for less",
			 has, wanted);
	return -ENOMEM;
}

// An ordinary user without a runtime folder: EAL would take /tmp/dpdk, which may be another user's. The
// folder of our socket is ours.
static void choose_runtime_folder(const struct conf *conf)
{
	char path[256], *slash;

	if (geteuid() == 0 || getenv("XDG_RUNTIME_DIR") != NULL)
		return;
	snprintf(path, sizeof(path), "%s", conf->dataplane.socket);
	slash = strrchr(path, '/');
	if (slash == NULL || slash == path)
		return;
	*slash = '\0';
	setenv("XDG_RUNTIME_DIR", path, 0);
}

int eal_start(const struct conf *conf, const struct eal_plan *plan, char *error, size_t error_size)
{
	static struct args a; // EAL keeps pointers into it
	char number[32];

	if (check_cores(conf, error, error_size) < 0)
		return -ENODEV;
	if (check_memory(conf, error, error_size) < 0)
		return -ENOMEM;
	choose_runtime_folder(conf);
	a.text = wbuf_of(a.bytes, sizeof(a.bytes));
	add_arg(&a, "sluice-dp");
	add_arg(&a, "--no-telemetry");
	add_arg(&a, "--no-shconf");
	add_arg(&a, "--log-level=warning");
	// With hugepages the prefix names files, so each process needs its own; without there is only a folder.
	snprintf(number, sizeof(number),
		 conf->dataplane.hugepages ? "--file-prefix=sluice%d" : "--file-prefix=sluice",
		 (int)getpid());
	add_arg(&a, number);
	add_arg(&a, "-m");
	snprintf(number, sizeof(number), "%u", conf->dataplane.memory_mib);
	add_arg(&a, number);
	if (conf->dataplane.hugepages)
		add_arg(&a, "--huge-unlink");
	else
		add_arg(&a, "--no-huge");
	if (!needs_pci(conf))
		add_arg(&a, "--no-pci");
	add_lcores(&a, conf, plan);
	add_extra(&a, conf->dataplane.eal);
	if (rte_eal_init(a.n, a.v) < 0) {
		fflush(stdout); // its usage, so that our own line is the last
		snprintf(error, error_size, "DPDK did not start: %s%s", rte_strerror(rte_errno),
			 conf->dataplane.hugepages
				 ? "; is hugetlbfs mounted for this user? (dpdk-hugepages.py --show), or set "
				   "dataplane.hugepages: false"
				 : "; see the EAL messages above and dataplane.eal, memory_mib, "
				   "worker_cores");
		return -rte_errno;
	}
	return 0;
}

void eal_stop(void)
{
	char dir[256];

	snprintf(dir, sizeof(dir), "%s", rte_eal_get_runtime_dir());
	rte_eal_cleanup();
	rmdir(dir); // fails while another process has something there
}
