// The estimator against what happened to packets on real and made-up links: tests/vectors/gcc/NAME.trace, one line per
// packet in the order of sending:
//
//   SENT BYTES ARRIVAL     microseconds on one clock, bytes on the wire
//   SENT BYTES lost
//
// and before them, how it was made (# ...), and what must hold, seconds from the first packet and kbit/s:
//
//   expect FROM TO MIN MAX     the target, at all times between
//   mean FROM TO MIN MAX       its mean
//
// A trace does not react, so it says only what an estimator that is fed with it must think of the link.
#include <dirent.h>
#include <stdlib.h>

#include "lib/rtc/send/gcc.h"
#include "tests/unit/check.h"

#define DIR_NAME "tests/vectors/gcc"
#define MAX_RULES 16
#define MAX_LINES 200000
#define FEEDBACK_US 100000
#define TRIP_US 30000 // of the feedback

struct packet {
	int64_t sent, arrival; // arrival < 0: lost
	uint16_t n_bytes;
};

struct rule {
	double from, to, min, max, sum;
	unsigned n, n_bad;
	bool is_mean;
};

struct trace {
	struct rule rule[MAX_RULES];
	unsigned n_rules;
	struct packet *packet;
	size_t n;
};

static bool read_line(struct trace *t, const char *line)
{
	struct rule r = {};
	struct packet p = {};
	char arrival[32];

	if (line[0] == '#' || line[0] == '\n')
		return true;
	r.is_mean = line[0] == 'm';
	if (sscanf(line, "expect %lf %lf %lf %lf", &r.from, &r.to, &r.min, &r.max) == 4 ||
	    sscanf(line, "mean %lf %lf %lf %lf", &r.from, &r.to, &r.min, &r.max) == 4) {
		if (t->n_rules == MAX_RULES)
			return false;
		t->rule[t->n_rules++] = r;
		return true;
	}
	if (t->n == MAX_LINES || sscanf(line, "%" SCNd64 " %hu %31s", &p.sent, &p.n_bytes, arrival) != 3)
		return false;
	p.arrival = strcmp(arrival, "lost") == 0 ? -1 : strtoll(arrival, NULL, 10);
	if (p.arrival >= 0 && p.arrival < p.sent)
		return false;
	t->packet[t->n++] = p;
	return true;
}

static bool trace_read(struct trace *t, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[256];
	bool ok = f != NULL;

	*t = (struct trace){.packet = calloc(MAX_LINES, sizeof(*t->packet))};
	for (unsigned n = 1; ok && fgets(line, sizeof(line), f); n++) {
		ok = read_line(t, line);
		if (!ok)
			check_note(path, (int)n, "not a line of a trace: %s", line);
	}
	if (f)
		fclose(f);
	return ok && t->n > 0 && t->n_rules > 0;
}

static void rules_look(struct trace *t, double at, double kbps)
{
	for (unsigned i = 0; i < t->n_rules; i++) {
		struct rule *r = &t->rule[i];

		if (at < r->from || at >= r->to)
			continue;
		r->n++;
		r->sum += kbps;
		r->n_bad += !r->is_mean && (kbps < r->min || kbps > r->max);
	}
}

// A report as the receiver would send it: of what was sent before the newest arrival, whatever came by now or is lost.
static void report(struct gcc *g, const struct trace *t, bool *told, size_t *first, int64_t now)
{
	size_t top = *first;

	for (size_t i = *first; i < t->n && t->packet[i].sent < now; i++)
		if (t->packet[i].arrival >= 0 && t->packet[i].arrival <= now)
			top = i + 1;
	for (size_t i = *first; i < top; i++) {
		const struct packet *p = &t->packet[i];
		bool is_lost = p->arrival < 0;

		if (told[i] || (!is_lost && p->arrival > now))
			continue;
		told[i] = true;
		gcc_ack(g, &(struct sendhist_ack){.sent_us = p->sent,
						  .arrival_us = p->arrival,
						  .n_bytes = p->n_bytes,
						  .event = is_lost ? SENDHIST_LOST : SENDHIST_ACKED});
	}
	while (*first < top && told[*first])
		(*first)++;
}

static void replay(struct trace *t)
{
	bool *told = calloc(t->n, sizeof(*told));
	int64_t end = t->packet[t->n - 1].sent;
	struct gcc g;
	size_t first = 0;

	gcc_init(&g, &(struct gcc_conf){GCC_MIN_BPS, GCC_START_BPS, GCC_MAX_BPS}, 0);
	for (int64_t now = FEEDBACK_US; now < end; now += FEEDBACK_US) {
		size_t before = first;

		report(&g, t, told, &first, now);
		if (first != before)
			gcc_update(&g, 2 * TRIP_US * NS_PER_US, (now + TRIP_US) * NS_PER_US);
		gcc_idle(&g, 1000000, (now + TRIP_US) * NS_PER_US);
		rules_look(t, (double)now / 1e6, gcc_target(&g) / 1e3);
		if (getenv("GCC_TRACE"))
			printf("# %.1f %u %u\n", (double)now / 1e6, gcc_target(&g) / 1000, gcc_queue_ms(&g));
	}
	free(told);
}

static void one(const char *path)
{
	struct trace t;

	if (trace_read(&t, path)) {
		replay(&t);
		for (unsigned i = 0; i < t.n_rules; i++) {
			const struct rule *r = &t.rule[i];
			double mean = r->n ? r->sum / r->n : 0;
			bool ok = r->n > 0 && r->n_bad == 0 &&
				  (!r->is_mean || (mean >= r->min && mean <= r->max));

			if (!ok)
				check_note(path, (int)i + 1, "rule %u: %u of %u outside, mean %.0f kbit/s",
					   i + 1, r->n_bad, r->n, mean);
			CHECK(ok);
		}
	} else {
		check_note(path, 0, "cannot be read");
		CHECK(false);
	}
	free(t.packet);
}

static void traces(void)
{
	DIR *dir = opendir(DIR_NAME);
	struct dirent *e;
	unsigned n = 0;

	CHECK_OR_RETURN(dir != NULL);
	while ((e = readdir(dir)) != NULL) {
		size_t len = strlen(e->d_name);
		char path[512];

		if (len < 7 || strcmp(e->d_name + len - 6, ".trace") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", DIR_NAME, e->d_name);
		one(path);
		n++;
	}
	closedir(dir);
	CHECK(n >= 2);
}

static void bad_lines(void)
{
	struct trace t = {.packet = calloc(MAX_LINES, sizeof(*t.packet))};

	CHECK(read_line(&t, "# words\n"));
	CHECK(read_line(&t, "expect 1 2 300 400\n"));
	CHECK(read_line(&t, "mean 1 2 300 400\n"));
	CHECK(read_line(&t, "100 1200 lost\n"));
	CHECK(read_line(&t, "100 1200 5000\n"));
	CHECK(!read_line(&t, "100 1200 50\n")); // before it was sent
	CHECK(!read_line(&t, "100 1200\n"));
	CHECK(!read_line(&t, "expect 1 2 300\n"));
	CHECK_EQ(t.n, 2);
	CHECK_EQ(t.n_rules, 2);
	CHECK(t.rule[1].is_mean && !t.rule[0].is_mean);
	free(t.packet);
}

CU_TestInfo gcctrace_tests[] = {
	{"recorded traces: the estimate stays within what each says", traces},
	{"a line that is none is refused", bad_lines},
	CU_TEST_INFO_NULL,
};
