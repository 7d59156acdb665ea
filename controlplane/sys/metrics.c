// A family keeps its children in a map keyed by the joined label values. Text is made at scrape time only.
#include "controlplane/sys/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/utf8.h"

enum { MAX_LABELS = 3, MAX_BUCKETS = 14, MAX_COLLECTORS = 16, MAX_LABEL_VALUE = 128 };
enum metric_type { COUNTER, GAUGE, HISTOGRAM };

struct buckets {
	unsigned n;
	double le[MAX_BUCKETS];
};
static const struct buckets bounds_N = {};
static const struct buckets bounds_R = {12, {.001, .005, .0075, .01, .025, .05, .075, .1, .25, .5, .75, 1}};
static const struct buckets bounds_L = {
	14, {.001, .005, .0075, .01, .025, .05, .075, .1, .25, .3, .4, .5, .75, 1}};
static const struct buckets bounds_D = {11, {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}};

struct family_desc {
	const char *name;
	enum metric_type type;
	const char *labels;
	const struct buckets *bounds;
	const char *help;
};
static const struct family_desc descs[N_METRICS] = {
#define FAMILY(id, name, type, labels, bounds, help) [id] = {name, type, labels, &bounds_##bounds, help},
	METRICS_FAMILIES(FAMILY)
#undef FAMILY
};

struct child {
	char *labels; // owned: `a="x",b="y"` ready for output
	double value; // counter, gauge; sum of a histogram
	uint64_t count;
	uint64_t in_bucket[MAX_BUCKETS];
};

struct collector {
	metrics_collect_fn fn;
	void *arg; // borrowed
};

struct metrics {
	struct map *children[N_METRICS]; // joined label values -> struct child, owned
	struct child *single[N_METRICS]; // of families without labels
	struct collector collectors[MAX_COLLECTORS];
	unsigned n_collectors;
	uint64_t n_refused_values, n_overflows;
};

// --- growing text ------------------------------------------------------------------------------------
struct metrics_text {
	char *p; // owned
	size_t len, cap;
	bool failed;
};

[[gnu::format(printf, 2, 3)]] static void text_add(struct metrics_text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	for (;;) {
		size_t room = t->cap - t->len;
		char *grown;

		va_start(ap, fmt);
		n = vsnprintf(t->p ? t->p + t->len : NULL, room, fmt, ap);
		va_end(ap);
		if (n < 0 || t->failed)
			return;
		if ((size_t)n < room) {
			t->len += (size_t)n;
			return;
		}
		grown = realloc(t->p, t->cap * 2 + (size_t)n + 4096);
		if (grown == NULL) {
			t->failed = true;
			return;
		}
		t->p = grown;
		t->cap = t->cap * 2 + (size_t)n + 4096;
	}
}

// Shortest decimal that reads back as the same number.
static void text_number(struct metrics_text *t, double v)
{
	char buf[40];

	if (isinf(v)) {
		text_add(t, v > 0 ? "+Inf" : "-Inf");
		return;
	}
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(buf, sizeof(buf), "%.*g", digits, v);
		if (strtod(buf, NULL) == v)
			break;
	}
	text_add(t, "%s", buf);
}

// --- children ----------------------------------------------------------------------------------------
static unsigned n_labels(const char *names)
{
	unsigned n = names[0] != '\0';

	for (; *names; names++)
		n += *names == ',';
	return n;
}

static void text_label_value(struct metrics_text *t, struct str v)
{
	if (v.len > MAX_LABEL_VALUE || !utf8_is_valid(v))
		v = STR("invalid");
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] == '\\' || v.p[i] == '"')
			text_add(t, "\\%c", v.p[i]);
		else if (v.p[i] == '\n')
			text_add(t, "\\n");
		else if (v.p[i] != '\0')
			text_add(t, "%c", v.p[i]);
	}
}

static char *labels_text(const char *names, const struct str *values)
{
	struct str rest = str_of(names);
	struct metrics_text t = {};

	for (unsigned i = 0; rest.len > 0; i++) {
		struct str name = str_cut(&rest, ',');

		text_add(&t, "%s%.*s=\"", i ? "," : "", STR_ARG(name));
		text_label_value(&t, values[i]);
		text_add(&t, "\"");
	}
	if (t.failed) {
		free(t.p);
		return NULL;
	}
	return t.p ? t.p : strdup("");
}

static struct child *child_new(const char *names, const struct str *values)
{
	struct child *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->labels = labels_text(names, values);
	if (c->labels == NULL) {
		free(c);
		return NULL;
	}
	return c;
}

static struct child *child_find(struct metrics *m, enum metric id, const struct str *values)
{
	static const struct str others[MAX_LABELS] = {{"other", 5}, {"other", 5}, {"other", 5}};
	char key[MAX_LABELS * (MAX_LABEL_VALUE + 1)];
	unsigned n = n_labels(descs[id].labels);
	size_t len = 0;
	struct child *c;

	assert(id < N_METRICS && n <= MAX_LABELS);
	if (n == 0)
		return m->single[id];
	for (unsigned i = 0; i < n; i++) {
		size_t part = values[i].len > MAX_LABEL_VALUE ? MAX_LABEL_VALUE : values[i].len;

		memcpy(key + len, values[i].p ? values[i].p : "", part);
		len += part;
		key[len++] = '\0';
	}
	c = map_find(m->children[id], (struct str){key, len});
	if (c != NULL)
		return c;
	if (map_count(m->children[id]) >= METRIC_MAX_CHILDREN && values != others) {
		m->n_overflows++;
		return child_find(m, id, others);
	}
	c = child_new(descs[id].labels, values);
	if (c != NULL && map_put(m->children[id], (struct str){key, len}, c) < 0) {
		free(c->labels);
		free(c);
		return NULL;
	}
	return c;
}

void metric_add(struct metrics *m, enum metric id, const struct str *labels, double delta)
{
	struct child *c = child_find(m, id, labels);

	if (c != NULL)
		c->value += delta;
}

void metric_set(struct metrics *m, enum metric id, const struct str *labels, double value)
{
	struct child *c = child_find(m, id, labels);

	if (c != NULL)
		c->value = value;
}

void metric_observe(struct metrics *m, enum metric id, const struct str *labels, double value)
{
	const struct buckets *b = descs[id].bounds;
	struct child *c;

	if (!isfinite(value) || value < 0) { // one such value would spoil the sum for good
		m->n_refused_values++;
		return;
	}
	c = child_find(m, id, labels);
	if (c == NULL)
		return;
	c->value += value;
	c->count++;
	for (unsigned i = 0; i < b->n; i++)
		if (value <= b->le[i]) {
			c->in_bucket[i]++;
			return;
		}
}

// --- output ------------------------------------------------------------------------------------------
struct block {            // one family's lines
	const char *name; // borrowed
	size_t at, len;   // in text
};

enum { MAX_BLOCKS = 512 };
struct metrics_out {
	struct metrics_text text;
	struct block blocks[MAX_BLOCKS];
	unsigned n_blocks;
};

static void block_begin(struct metrics_out *out, const char *name, const char *type, const char *help)
{
	if (out->n_blocks > 0)
		out->blocks[out->n_blocks - 1].len = out->text.len - out->blocks[out->n_blocks - 1].at;
	if (out->n_blocks == MAX_BLOCKS) {
		out->text.failed = true;
		return;
	}
	out->blocks[out->n_blocks++] = (struct block){name, out->text.len, 0};
	text_add(&out->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_out_family(struct metrics_out *out, const char *name, const char *type, const char *help)
{
	block_begin(out, name, type, help);
}

static void out_sample(struct metrics_text *t, const char *name, const char *suffix, const char *labels,
		       double value)
{
	text_add(t, labels[0] ? "%s%s{%s} " : "%s%s%s ", name, suffix, labels);
	text_number(t, value);
	text_add(t, "\n");
}

void metrics_out_sample(struct metrics_out *out, const char *labels, double value)
{
	if (out->n_blocks > 0)
		out_sample(&out->text, out->blocks[out->n_blocks - 1].name, "", labels, value);
}

void metrics_out_value(struct metrics_out *out, const char *name, const char *type, const char *help,
		       double value)
{
	metrics_out_family(out, name, type, help);
	metrics_out_sample(out, "", value);
}

static void write_histogram(struct metrics_text *t, const struct family_desc *d, const struct child *c)
{
	uint64_t sum = 0;
	const char *comma = c->labels[0] ? "," : "";

	for (unsigned i = 0; i < d->bounds->n; i++) {
		sum += c->in_bucket[i];
		text_add(t, "%s_bucket{%s%sle=\"", d->name, c->labels, comma);
		text_number(t, d->bounds->le[i]);
		text_add(t, "\"} %llu\n", (unsigned long long)sum);
	}
	text_add(t, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", d->name, c->labels, comma,
		 (unsigned long long)c->count);
	out_sample(t, d->name, "_sum", c->labels, c->value);
	out_sample(t, d->name, "_count", c->labels, (double)c->count);
}

static int by_labels(const void *a, const void *b)
{
	return strcmp((*(struct child *const *)a)->labels, (*(struct child *const *)b)->labels);
}

static void write_child(struct metrics_text *t, const struct family_desc *d, const struct child *c)
{
	if (d->type == HISTOGRAM)
		write_histogram(t, d, c);
	else
		out_sample(t, d->name, "", c->labels, c->value);
}

static void write_family(struct metrics *m, enum metric id, struct metrics_out *out)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	const struct family_desc *d = &descs[id];
	size_t n = map_count(m->children[id]), cursor = 0, i = 0;
	struct child **sorted, *c;

	if (m->single[id] != NULL) {
		block_begin(out, d->name, types[d->type], d->help);
		write_child(&out->text, d, m->single[id]);
		return;
	}
	if (n == 0)
		return;
	sorted = malloc(n * sizeof(*sorted));
	if (sorted == NULL) {
		out->text.failed = true;
		return;
	}
	while ((c = map_next(m->children[id], &cursor, NULL)) != NULL)
		sorted[i++] = c;
	qsort(sorted, n, sizeof(*sorted), by_labels);
	block_begin(out, d->name, types[d->type], d->help);
	for (i = 0; i < n; i++)
		write_child(&out->text, d, sorted[i]);
	free(sorted);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct block *)a)->name, ((const struct block *)b)->name);
}

static void collect_own(struct metrics *m, struct metrics_out *out)
{
	metrics_out_family(out, "sluice_metrics_refused_values_total", "counter",
			   "observations that were not a sane number");
	metrics_out_sample(out, "", (double)m->n_refused_values);
	metrics_out_family(out, "sluice_metrics_label_overflows_total", "counter",
			   "updates counted under other because a family was full");
	metrics_out_sample(out, "", (double)m->n_overflows);
}

char *metrics_text(struct metrics *m, size_t *len)
{
	struct metrics_out *out = calloc(1, sizeof(*out));
	char *sorted = NULL;

	if (out == NULL)
		return NULL;
	for (unsigned id = 0; id < N_METRICS; id++)
		write_family(m, id, out);
	for (unsigned i = 0; i < m->n_collectors; i++)
		m->collectors[i].fn(m->collectors[i].arg, out);
	collect_own(m, out);
	out->blocks[out->n_blocks - 1].len = out->text.len - out->blocks[out->n_blocks - 1].at;
	if (!out->text.failed)
		sorted = malloc(out->text.len + 1);
	if (sorted != NULL) {
		qsort(out->blocks, out->n_blocks, sizeof(out->blocks[0]), by_name);
		*len = 0;
		for (unsigned i = 0; i < out->n_blocks; i++) {
			memcpy(sorted + *len, out->text.p + out->blocks[i].at, out->blocks[i].len);
			*len += out->blocks[i].len;
		}
		sorted[*len] = '\0';
	}
	free(out->text.p);
	free(out);
	return sorted;
}

int metrics_collector(struct metrics *m, metrics_collect_fn fn, void *arg)
{
	if (m->n_collectors == MAX_COLLECTORS)
		return -ENOSPC;
	m->collectors[m->n_collectors++] = (struct collector){fn, arg};
	return 0;
}

struct metrics *metrics_new(void)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	for (unsigned id = 0; id < N_METRICS; id++) {
		m->children[id] = map_new();
		if (descs[id].labels[0] == '\0')
			m->single[id] = child_new("", NULL);
		if (m->children[id] == NULL || (descs[id].labels[0] == '\0' && m->single[id] == NULL)) {
			metrics_free(m);
			return err_null(ENOMEM);
		}
	}
	return m;
}

static void child_free(struct child *c)
{
	if (c == NULL)
		return;
	free(c->labels);
	free(c);
}

void metrics_free(struct metrics *m)
{
	if (m == NULL)
		return;
	for (unsigned id = 0; id < N_METRICS; id++) {
		size_t cursor = 0;
		struct child *c;

		while (m->children[id] && (c = map_next(m->children[id], &cursor, NULL)) != NULL)
			child_free(c);
		map_free(m->children[id]);
		child_free(m->single[id]);
	}
	free(m);
}
