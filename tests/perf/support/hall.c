#include "tests/perf/support/hall_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/ctl/build.h"
#include "dataplane/ctl/eal.h"
#include "tests/perf/support/perf.h"

struct hall hall;

// Worker 0 on the last core, worker 1 on the one before; main on the first.
static void hall_pin(struct conf *conf)
{
	int last = perf_core();
	char cores[32];

	if (last == 0)
		return;
	snprintf(cores, sizeof(cores), "%d,%d", last, last - 1);
	free(conf->dataplane.worker_cores);
	conf->dataplane.worker_cores = strdup(cores);
	conf->dataplane.main_core = 0;
}

void hall_open(unsigned n_workers, unsigned max_people)
{
	struct conf_error conf_error;
	struct eal_plan plan = {.n_workers = HALL_QUEUES};
	static bool eal;
	char error[512];

	memset(&hall, 0, sizeof(hall));
	if (conf_load(&hall.conf, NULL, &conf_error) < 0)
		die(EXIT_CONFIG, "%s", conf_error.text);
	hall.conf.rtc.port_udp = hall.conf.rtc.port_tcp = 0;
	hall.conf.dataplane.max_sessions = max_people;
	hall_pin(&hall.conf);
	hall.conf.dataplane.memory_mib = 512;
	if (!eal && eal_start(&hall.conf, &plan, error, sizeof(error)) < 0)
		die(EXIT_UNAVAILABLE, "%s", error);
	eal = true;
	plan.n_workers = hall.n_workers = n_workers;
	hall.dp = dp_open(&hall.conf, &plan, error, sizeof(error));
	if (hall.dp == NULL)
		die(EXIT_UNAVAILABLE, "%s", error);
	hall.kernel = hall.dp->port[0];
	hall.port = (struct port){.ops = &hall_ops, .n_queues = (uint16_t)n_workers};
	hall.dp->port[0] = &hall.port;
	for (unsigned i = 0; i < n_workers; i++) {
		char name[16];
		snprintf(name, sizeof(name), "hall%u", i);
		hall.queue[i].in = rte_ring_create(name, 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		hall.queue[i].seal = seal_engine_new(NULL);
	}
	hall.is_keyed = perf_alloc(max_people);
	hall.max_people = max_people;
	hall.watcher = perf_alloc(max_people * sizeof(*hall.watcher));
	hall.seal = seal_engine_new(NULL);
	hall.model = model_new(hall.dp);
	if (hall.model == NULL || hall.seal == NULL || dp_launch(hall.dp) < 0)
		die(EXIT_SOFTWARE, "the dataplane did not start");
}

void hall_close(void)
{
	dp_stop(hall.dp);
	for (unsigned i = 0; i < hall.n_workers; i++) {
		rte_ring_free(hall.queue[i].in);
		seal_engine_free(hall.queue[i].seal);
	}
	for (unsigned i = 0; i < hall.n_talkers; i++)
		free(hall.talker[i].key);
	free(hall.is_keyed);
	hall_watch_free();
	model_free(hall.model);
	seal_engine_free(hall.seal);
	hall.dp->port[0] = hall.kernel;
	dp_close(hall.dp);
	conf_fini(&hall.conf);
}

void hall_run(ns_t warm, ns_t duration, void (*tend)(ns_t since))
{
	double hz = (double)rte_get_tsc_hz();
	uint64_t now = rte_rdtsc() + (uint64_t)(hz / 100);
	ns_t start = clock_now() + warm, next = clock_now();

	hall.from = now + (uint64_t)(hz * (double)warm / 1e9);
	hall.until = hall.from + (uint64_t)(hz * (double)duration / 1e9);
	for (unsigned i = 0; i < hall.n_talkers; i++) // spread over their period
		hall.talker[i].start = now + hall.talker[i].period * i / hall.n_talkers;
	// release: starts are written before they are used; pairs with hall_rx
	atomic_store_explicit(&hall.talks, true, memory_order_release);
	while (clock_now() - start < duration) {
		next += NS_PER_MS;
		hall_tend();
		tend(clock_now() - start);
		struct timespec to = {.tv_sec = next / NS_PER_S, .tv_nsec = next % NS_PER_S};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &to, NULL);
	}
	for (ns_t until = clock_now() + NS_PER_S / 2; clock_now() < until;)
		hall_tend();
	atomic_store_explicit(&hall.talks, false, memory_order_release);
}
