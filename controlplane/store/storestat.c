#include "controlplane/store/storestat.h"

static void collect(void *arg, struct metrics_out *out)
{
	struct store_stats s;

	store_stats(arg, &s);
	metrics_out_value(out, "sluice_store_up", "gauge", "1 while the store answers", store_is_up(arg));
	metrics_out_value(out, "sluice_store_operations_total", "counter", "operations on the store",
			  (double)s.ops);
	metrics_out_value(out, "sluice_store_errors_total", "counter", "operations that failed",
			  (double)s.errors);
	metrics_out_value(out, "sluice_store_timeouts_total", "counter", "operations not answered in time",
			  (double)s.timeouts);
	metrics_out_value(out, "sluice_store_reconnects_total", "counter", "times the store went away",
			  (double)s.reconnects);
	metrics_out_value(out, "sluice_store_dropped_writes_total", "counter",
			  "writes lost because too many waited", (double)s.dropped_writes);
	metrics_out_value(out, "sluice_store_coalesced_writes_total", "counter",
			  "waiting writes replaced by a later one of the key", (double)s.coalesced_writes);
	metrics_out_value(out, "sluice_store_pending", "gauge", "operations under way", s.pending);
	metrics_out_value(out, "sluice_store_waiting_writes", "gauge",
			  "writes that wait for the store to come back", s.waiting_writes);
}

int storestat_init(struct metrics *m, struct store *s)
{
	return metrics_collector(m, collect, s);
}
