#include "controlplane/link/linkstat.h"

#include <stdio.h>

#include "lib/ipc/statseg.h"

static void write_link(struct metrics_out *out, const struct link *link)
{
	struct link_stats s;

	link_stats(link, &s);
	metrics_out_value(out, "sluice_dp_up", "gauge", "1 while the link to sluice-dp stands",
			  link_is_up(link));
	metrics_out_value(out, "sluice_dp_connects_total", "counter", "times the link to sluice-dp was made",
			  (double)s.n_connects);
	metrics_out_value(out, "sluice_dp_commands_total", "counter", "commands sent to sluice-dp",
			  (double)s.n_commands);
	metrics_out_value(out, "sluice_dp_commands_refused_total", "counter", "commands sluice-dp refused",
			  (double)s.n_acks_failed);
	metrics_out_value(out, "sluice_dp_bad_messages_total", "counter",
			  "messages of sluice-dp that made no sense", (double)s.n_bad_messages);
	metrics_out_value(out, "sluice_dp_punt_drops_total", "counter", "datagrams to sluice-dp dropped",
			  (double)s.punt_dropped);
}

static const char names[][64] = {
	// metrics_out keeps the pointers until the text is made
	[CTR_NONE] = "",
#define COUNTER(id, name, unit, help) [CTR_##id] = "sluice_dp_" name "_total",
#define GAUGE(id, name, unit, help) [GAUGE_##id] = "sluice_dp_" name,
#include "lib/ipc/counters.def"
};

static void write_segment(struct metrics_out *out, const struct statseg *seg)
{
	char labels[96];

	metrics_out_family(out, "sluice_dp_drops_total", "counter", "packets dropped by reason");
	for (unsigned id = 0; id < N_COUNTERS; id++) {
		const struct counter_info *info = counter_info(id);
		double value = (double)statseg_sum(seg, id);

		if (info == NULL)
			continue;
		if (info->kind == STAT_DROP) {
			snprintf(labels, sizeof(labels), "reason=\"%s\"", info->name);
			metrics_out_sample(out, labels, value);
		} else {
			metrics_out_value(out, names[id], info->kind == STAT_GAUGE ? "gauge" : "counter",
					  info->help, value);
		}
	}
}

static void collect_link(void *arg, struct metrics_out *out)
{
	struct link *link = arg;
	const struct statseg *seg = link_counters(link);

	write_link(out, link);
	if (seg)
		write_segment(out, seg);
}

int linkstat_init(struct metrics *m, struct link *link)
{
	return metrics_collector(m, collect_link, link);
}
