#include "controlplane/storestat.h"

static void emit(struct metrics_out *out, const char *name, const char *type, const char *help, double value)
{
	metrics_out_family(out, name, type, help);
	metrics_out_sample(out, "", value);
}

static void collect(void *arg, struct metrics_out *out)
{
	struct store_stats s;

	store_stats(arg, &s);
	emit(out, "sluice_store_up", "gauge", "1 while the store answers", store_is_up(arg));
	emit(out, "sluice_store_operations_total", "counter", "operations on the store", (double)s.ops);
	emit(out, "sluice_store_errors_total", "counter", "operations that failed", (double)s.errors);
	emit(out, "sluice_store_timeouts_total", "counter", "operations not answered in time",
	     (double)s.timeouts);
	emit(out, "sluice_store_reconnects_total", "counter", "times the store went away",
	     (double)s.reconnects);
	emit(out, "sluice_store_dropped_writes_total", "counter", "writes lost because too many waited",
	     (double)s.dropped_writes);
	emit(out, "sluice_store_coalesced_writes_total", "counter",
	     "waiting writes replaced by a later one of the key", (double)s.coalesced_writes);
	emit(out, "sluice_store_pending", "gauge", "operations under way", s.pending);
	emit(out, "sluice_store_waiting_writes", "gauge", "writes that wait for the store to come back",
	     s.waiting_writes);
}

int storestat_init(struct metrics *m, struct store *s)
{
	return metrics_collector(m, collect, s);
}
