#include "controlplane/sys/sysload.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/log.h"

struct sysload {
	struct loop *loop; // borrowed
	struct timer timer;
	ns_t when;     // of the last sample
	double idle_s; // then
	double load;
	bool draining;
	bool poll; // workers do, when idle
	sysload_read_fn read;
	void *read_arg;
	struct sysload_workers workers; // at the last sample
};

double sysload_formula(double wall_s, double idle_s)
{
	double load = wall_s / idle_s;

	if (!(wall_s > 0))
		return SYSLOAD_MAX;
	return !isfinite(load) || load < 0 || load > SYSLOAD_MAX ? SYSLOAD_MAX : load;
}

// Idle seconds of all CPUs since boot. False when /proc is not there.
static bool read_idle(double *idle_s)
{
	FILE *f = fopen("/proc/stat", "re");
	unsigned long long idle;
	bool ok;

	if (f == NULL)
		return false;
	ok = fscanf(f, "cpu %*u %*u %*u %llu", &idle) == 1;
	fclose(f);
	*idle_s = (double)idle / (double)sysconf(_SC_CLK_TCK);
	return ok;
}

double sysload_idle_part(const struct sysload_workers *then, const struct sysload_workers *now)
{
	double busy = (double)(now->busy - then->busy), idle = (double)(now->idle - then->idle);

	if (now->busy < then->busy || now->idle < then->idle ||
	    busy + idle <= 0) // another process, or none before
		return 1;
	return idle / (busy + idle);
}

// The load of the last wall_s seconds, of which the processors rested idle_s together.
static double workers_load(struct sysload *s, double wall_s, double idle_s)
{
	struct sysload_workers now = {};
	double part, cores = (double)sysconf(_SC_NPROCESSORS_ONLN), all;

	if (s->read == NULL || !s->read(s->read_arg, &now)) {
		s->workers = now;
		return sysload_formula(wall_s, idle_s);
	}
	part = sysload_idle_part(&s->workers, &now);
	if (s->poll)
		idle_s += part * wall_s * now.n;
	all = sysload_formula(wall_s, idle_s > cores * wall_s ? cores * wall_s : idle_s);
	s->workers = now;
	return fmax(all, sysload_formula(1, cores * part));
}

static void on_sample(struct timer *t, ns_t)
{
	struct sysload *s = container_of(t, struct sysload, timer);
	ns_t now = clock_now();
	double idle_s;

	if (read_idle(&idle_s)) {
		s->load = workers_load(s, (double)(now - s->when) / NS_PER_S, idle_s - s->idle_s);
		s->idle_s = idle_s;
		s->when = now;
	}
	loop_arm_in(s->loop, t, NS_PER_S);
}

struct sysload *sysload_new(struct loop *loop)
{
	struct sysload *s = calloc(1, sizeof(*s));
	struct timespec up;

	if (s == NULL)
		return NULL;
	s->loop = loop;
	s->when = clock_now();
	s->timer.on_due = on_sample;
	clock_gettime(CLOCK_BOOTTIME, &up);
	if (read_idle(&s->idle_s)) {
		s->load = sysload_formula((double)up.tv_sec + 1e-9 * (double)up.tv_nsec, s->idle_s);
	} else {
		log_warn("system: /proc/stat cannot be read: /system reports the largest load");
		s->load = SYSLOAD_MAX;
	}
	loop_arm_in(loop, &s->timer, NS_PER_S);
	return s;
}

void sysload_free(struct sysload *s)
{
	if (s == NULL)
		return;
	loop_cancel(s->loop, &s->timer);
	free(s);
}

double sysload_get(const struct sysload *s)
{
	struct sysload_workers now;

	if (s->read != NULL && !s->read(s->read_arg, &now))
		return SYSLOAD_MAX;
	if (s->draining)
		return SYSLOAD_DRAINING;
	return s->load > SYSLOAD_BUSY ? SYSLOAD_BUSY : s->load;
}

void sysload_watch(struct sysload *s, bool poll, sysload_read_fn read, void *arg)
{
	s->poll = poll;
	s->read = read;
	s->read_arg = arg;
}

void sysload_drain(struct sysload *s)
{
	s->draining = true;
}

size_t sysload_write(double load, char out[64])
{
	char number[40];

	if (load >= SYSLOAD_MAX || load < 1e-6) // never in exponent form
		load = load >= SYSLOAD_MAX ? SYSLOAD_MAX : 1e-6;
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(number, sizeof(number), "%.*g", digits, load);
		if (strtod(number, NULL) == load)
			break;
	}
	if (strchr(number, 'e') != NULL)
		snprintf(number, sizeof(number), load >= 1 ? "%.0f" : "%.17f", load);
	return (size_t)snprintf(out, 64, "{\"cpu_load\":%s}\n", number);
}
