#include "tools/sluicegun/report.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/version.h"

void report_init(struct report *r, const struct gun_conf *c, const struct shared *s, ns_t now)
{
	*r = (struct report){.conf = c, .shared = s, .start = now, .now = now};
	r->has_server = c->n_pids > 0 && proc_read(c->pid, c->n_pids, &r->server) == 0;
	r->rss_start = r->server.rss_bytes;
	r->second = calloc(REPORT_MAX_SECONDS, sizeof(*r->second)); // touched as it fills
	MUST(r->second != NULL);
}

void report_fini(struct report *r)
{
	free(r->second);
}

static uint64_t delivered(const struct tally *t)
{
	return t->voice_in + t->video_in;
}

static uint64_t sent(const struct tally *t)
{
	return t->voice_sent + t->video_sent;
}

// All members are 64-bit counters but the histograms' maxima, which histogram code merges.
static void add(struct tally *into, const struct tally *t)
{
	static_assert(sizeof(struct tally) % sizeof(uint64_t) == 0);
	uint64_t *a = (uint64_t *)into;
	const uint64_t *b = (const uint64_t *)t;

	for (size_t i = 0; i < offsetof(struct tally, voice_us) / sizeof(uint64_t); i++)
		a[i] += b[i];
	hist_merge(&into->voice_us, &t->voice_us);
	hist_merge(&into->video_us, &t->video_us);
	hist_merge(&into->join_us, &t->join_us);
}

void report_collect(struct report *r, ns_t now)
{
	r->all = (struct tally){};
	for (unsigned i = 0; i < r->conf->n_workers; i++)
		add(&r->all, &r->shared->tally[i]);
	r->now = now;
}

bool report_all_in(const struct report *r)
{
	return r->all.n_ready + r->all.n_failed >= r->conf->calls * r->conf->people;
}

void report_second(struct report *r, bool is_steady)
{
	uint64_t cpu = r->server.cpu_us, was_in = delivered(&r->all), was_out = sent(&r->all);
	struct second *s;

	report_collect(r, clock_now());
	if (r->has_server && proc_read(r->conf->pid, r->conf->n_pids, &r->server) < 0)
		r->has_server = false;
	if (r->n_seconds == REPORT_MAX_SECONDS)
		return;
	s = &r->second[r->n_seconds++];
	*s = (struct second){.server_cpu_s = r->has_server ? (float)(r->server.cpu_us - cpu) / 1e6f : 0,
			     .rss_mib = (float)r->server.rss_bytes / 1048576,
			     .delivered = (uint32_t)(delivered(&r->all) - was_in),
			     .sent = (uint32_t)(sent(&r->all) - was_out)};
	if (is_steady && !r->is_steady) {
		r->is_steady = true;
		r->steady_at = r->now;
		r->first = r->all;
		r->server_first = r->server;
	}
	if (r->conf->quiet)
		return;
	fprintf(stderr,
		"%s%4u s  %llu in, %llu failed  sent %u/s  delivered %u/s  dup %llu  server %.2f cores  %.0f "
		"MiB%s",
		isatty(2) ? "\r\033[K" : "", r->n_seconds, (unsigned long long)r->all.n_up,
		(unsigned long long)r->all.n_failed, s->sent, s->delivered, (unsigned long long)r->all.n_dup,
		(double)s->server_cpu_s, (double)s->rss_mib, isatty(2) ? "" : "\n");
	fflush(stderr);
}

void report_steady_end(struct report *r)
{
	if (!r->is_steady) {
		r->steady_at = r->start;
		r->first = (struct tally){};
	}
	r->last = r->all;
	r->steady_end = r->now;
}

double report_loss(const struct report *r)
{
	uint64_t lost = r->all.voice_lost + r->all.video_lost, in = delivered(&r->all);
	uint64_t per_leg = r->all.n_legs ? in / r->all.n_legs : 1;

	lost += r->all.n_missing * (per_leg ? per_leg : 1);
	return lost ? (double)lost / (double)(lost + in) : 0;
}

double report_rss_slope(const struct second *s, unsigned n)
{
	double sx = 0, sy = 0, sxx = 0, sxy = 0, m;
	unsigned from = n / 2;

	if (n - from < 10)
		return 0;
	m = n - from;
	for (unsigned i = from; i < n; i++) {
		double x = (i - from) / 3600.0, y = (double)s[i].rss_mib;

		sx += x;
		sy += y;
		sxx += x * x;
		sxy += x * y;
	}
	return (m * sxy - sx * sy) / (m * sxx - sx * sx);
}

static json_t *hist_json(const struct hist *h)
{
	return json_pack("{s:I,s:f,s:I,s:I,s:I,s:I,s:I}", "n", (json_int_t)h->n, "mean", hist_mean(h), "p50",
			 (json_int_t)hist_percentile(h, 50), "p90", (json_int_t)hist_percentile(h, 90), "p99",
			 (json_int_t)hist_percentile(h, 99), "p99_9", (json_int_t)hist_percentile(h, 99.9),
			 "max", (json_int_t)h->max);
}

static void put(json_t *o, const char *name, uint64_t v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

static json_t *shape_json(const struct gun_conf *c)
{
	return json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:f,s:f,s:f,s:b,s:i,s:i,s:s}", "calls", (int)c->calls,
			 "people", (int)c->persons, "voices", (int)c->voices, "screens", (int)c->screens,
			 "seconds", (int)c->seconds, "ramp", (int)c->ramp, "churn", c->churn, "loss", c->loss,
			 "reorder", c->reorder, "simulcast", c->simulcast, "threads", (int)c->n_workers,
			 "seed", (int)c->seed, "profile", c->cm ? "AES128_CM_SHA1_80" : "server's choice");
}

static json_t *counts_json(const struct tally *t)
{
	json_t *o = json_object();

#define COUNT(name) put(o, #name, t->name)
	COUNT(n_joins), COUNT(n_ready), COUNT(n_failed), COUNT(n_left), COUNT(n_closed), COUNT(n_path_lost);
	COUNT(voice_sent), COUNT(video_sent), COUNT(bytes_sent), COUNT(voice_in), COUNT(video_in),
		COUNT(bytes_in);
	COUNT(voice_lost), COUNT(video_lost), COUNT(n_legs), COUNT(n_missing);
	COUNT(n_dup), COUNT(n_late), COUNT(n_old), COUNT(n_bad), COUNT(n_dropped), COUNT(n_send_failed);
	COUNT(n_nacks), COUNT(n_rtx), COUNT(n_resent), COUNT(n_plis_in), COUNT(n_plis_out), COUNT(n_keys);
	COUNT(n_gcm128), COUNT(n_gcm256), COUNT(n_cm);
	COUNT(n_twcc), COUNT(n_pongs), COUNT(n_vad), COUNT(n_lock_waits);
#undef COUNT
	return o;
}

// CPU over the steady part, when nobody joins.
static json_t *cost_json(const struct report *r)
{
	double seconds = (double)(r->steady_end - r->steady_at) / 1e9;
	double packets = (double)(delivered(&r->last) - delivered(&r->first));
	double gun = (double)(r->last.cpu_us - r->first.cpu_us);
	double server = (double)(r->server.cpu_us - r->server_first.cpu_us);
	json_t *o = json_pack("{s:f,s:f,s:f,s:f,s:f}", "seconds", seconds, "delivered", packets,
			      "delivered_per_second", packets / seconds, "gun_cores", gun / 1e6 / seconds,
			      "gun_us_per_packet", packets > 0 ? gun / packets : 0.0);

	if (!r->has_server)
		return o;
	json_object_set_new(o, "server_cores", json_real(server / 1e6 / seconds));
	json_object_set_new(o, "server_us_per_packet", json_real(packets > 0 ? server / packets : 0.0));
	json_object_set_new(o, "server_rss_mib", json_real((double)r->server.rss_bytes / 1048576));
	json_object_set_new(o, "server_rss_start_mib", json_real((double)r->rss_start / 1048576));
	json_object_set_new(o, "server_rss_slope_mib_per_hour",
			    json_real(report_rss_slope(r->second, r->n_seconds)));
	return o;
}

static json_t *seconds_json(const struct report *r)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < r->n_seconds; i++)
		json_array_append_new(
			list, json_pack("[i,i,f,f]", (int)r->second[i].sent, (int)r->second[i].delivered,
					(double)r->second[i].server_cpu_s, (double)r->second[i].rss_mib));
	return list;
}

int report_json(const struct report *r, FILE *f)
{
	json_t *o = json_pack("{s:s,s:o,s:o,s:f,s:o,s:o,s:o,s:o,s:o}", "version", version_commit, "shape",
			      shape_json(r->conf), "counts", counts_json(&r->all), "loss", report_loss(r),
			      "voice_latency_us", hist_json(&r->all.voice_us), "video_latency_us",
			      hist_json(&r->all.video_us), "join_us", hist_json(&r->all.join_us), "steady",
			      cost_json(r), "seconds_sent_delivered_cores_mib", seconds_json(r));
	int rc = o && json_dumpf(o, f, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) == 0 &&
				 fputc('\n', f) != EOF && fflush(f) == 0
			 ? 0
			 : -EIO;

	json_decref(o);
	return rc;
}

int report_verdict(const struct report *r)
{
	const struct tally *t = &r->all;
	double loss = report_loss(r);

	if (!r->conf->quiet)
		fprintf(stderr,
			"\nlost %.4f %%  voice p50 %llu us p99 %llu us  joins p50 %llu ms p99 %llu ms\n",
			100 * loss, (unsigned long long)hist_percentile(&t->voice_us, 50),
			(unsigned long long)hist_percentile(&t->voice_us, 99),
			(unsigned long long)hist_percentile(&t->join_us, 50) / 1000,
			(unsigned long long)hist_percentile(&t->join_us, 99) / 1000);
	if (t->n_failed > 0)
		fprintf(stderr, "sluicegun: %llu participants failed\n", (unsigned long long)t->n_failed);
	if (delivered(t) == 0 && sent(t) > 0)
		fprintf(stderr, "sluicegun: nothing was delivered\n");
	if (loss > r->conf->max_loss)
		fprintf(stderr,
			"sluicegun: lost %.4f %%, allowed %.4f %% (%llu voice, %llu video, %llu streams "
			"never heard)\n",
			100 * loss, 100 * r->conf->max_loss, (unsigned long long)t->voice_lost,
			(unsigned long long)t->video_lost, (unsigned long long)t->n_missing);
	return t->n_failed > 0 || (delivered(t) == 0 && sent(t) > 0) || loss > r->conf->max_loss;
}
