#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "controlplane/sys/metrics.h"
#include "controlplane/sys/procstat.h"
#include "controlplane/sys/sysload.h"
#include "tests/unit/check.h"

static bool has(struct metrics *m, const char *line)
{
	size_t len;
	char *text = metrics_text(m, &len);
	bool found = text && strstr(text, line);

	if (!found)
		printf("# missing: %s\n", line);
	CHECK_EQ(text ? strlen(text) : 0, len);
	free(text);
	return found;
}

static void families(void)
{
	struct metrics *m = metrics_new();
	char *text;
	size_t len;

	text = metrics_text(m, &len);
	CHECK(text &&
	      !strstr(text, "rtcd_ws_connections_total")); // a labelled family without child prints nothing
	free(text);
	metric_add(m, M_WS_CONNECTIONS, METRIC_LABELS(STR("a\"\\\n")), 1);
	metric_add(m, M_WS_CONNECTIONS, METRIC_LABELS(STR("a\"\\\n")), -1);
	metric_add(m, M_WS_MESSAGES, METRIC_LABELS(STR("b"), STR("in"), STR("join")), 1);
	metric_add(m, M_WS_MESSAGES, METRIC_LABELS(STR("a"), STR("out"), STR("rtc")), 2);
	CHECK(has(m, "# TYPE rtcd_ws_connections_total "
		     "gauge\nrtcd_ws_connections_total{clientID=\"a\\\"\\\\\\n\"} 0\n"));
	CHECK(has(m, "# TYPE rtcd_ws_messages_total counter\n"
		     "rtcd_ws_messages_total{clientID=\"a\",direction=\"out\",type=\"rtc\"} 2\n"
		     "rtcd_ws_messages_total{clientID=\"b\",direction=\"in\",type=\"join\"} 1\n"));
	metrics_free(m);
}

static void histograms(void)
{
	struct metrics *m = metrics_new();

	metric_observe(m, M_RTC_CLIENT_LOSS_RATE, METRIC_LABELS(STR("g")), 0.05);
	metric_observe(m, M_RTC_CLIENT_LOSS_RATE, METRIC_LABELS(STR("g")), 2);
	metric_observe(m, M_RTC_CLIENT_LOSS_RATE, METRIC_LABELS(STR("g")), NAN);
	metric_observe(m, M_RTC_CLIENT_LOSS_RATE, METRIC_LABELS(STR("g")), INFINITY);
	metric_observe(m, M_RTC_CLIENT_LOSS_RATE, METRIC_LABELS(STR("g")), -1);
	CHECK(has(m, "# TYPE rtcd_rtc_client_loss_rate "
		     "histogram\nrtcd_rtc_client_loss_rate_bucket{groupID=\"g\",le=\"0.001\"} 0\n"));
	CHECK(has(m, "rtcd_rtc_client_loss_rate_bucket{groupID=\"g\",le=\"0.025\"} 0\n"
		     "rtcd_rtc_client_loss_rate_bucket{groupID=\"g\",le=\"0.05\"} 1\n"));
	CHECK(has(m, "le=\"1\"} 1\nrtcd_rtc_client_loss_rate_bucket{groupID=\"g\",le=\"+Inf\"} 2\n"
		     "rtcd_rtc_client_loss_rate_sum{groupID=\"g\"} "
		     "2.05\nrtcd_rtc_client_loss_rate_count{groupID=\"g\"} 2\n"));
	CHECK(has(m, "sluice_metrics_refused_values_total 3\n"));
	metrics_free(m);
}

static void labels_are_bounded(void)
{
	struct metrics *m = metrics_new();
	char id[32];

	for (int i = 0; i < METRIC_MAX_CHILDREN + 10; i++) {
		snprintf(id, sizeof(id), "client-%d", i);
		metric_add(m, M_RTC_SESSIONS, METRIC_LABELS(str_of(id)), 1);
	}
	metric_add(m, M_WS_CONNECTIONS, METRIC_LABELS(STR("\xff\xfe")), 1);
	CHECK(has(m, "rtcd_rtc_sessions_total{groupID=\"other\"} 10\n"));
	CHECK(has(m, "rtcd_ws_connections_total{clientID=\"invalid\"} 1\n"));
	metrics_free(m);
}

static void sorted(void)
{
	struct metrics *m = metrics_new();
	struct loop *loop = loop_new();
	char last[128] = "", *text, *line, *save;
	unsigned n = 0;
	size_t len;

	CHECK_EQ(procstat_init(m, loop), 0);
	metric_add(m, M_RTC_SESSIONS, METRIC_LABELS(STR("g")), 1);
	metric_add(m, M_AUTH, METRIC_LABELS(STR("client")), 1);
	text = metrics_text(m, &len);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char name[128];

		if (sscanf(line, "# TYPE %127s", name) != 1)
			continue;
		CHECK(strcmp(last, name) < 0);
		strcpy(last, name);
		n++;
	}
	CHECK(n >= 10);
	free(text);
	CHECK(has(m, "# TYPE rtcd_process_open_fds gauge\n"));
	CHECK(has(m, "# TYPE rtcd_process_cpu_seconds_total counter\n"));
	CHECK(has(m, "# TYPE sluice_loop_lag_seconds gauge\n"));
	metrics_free(m);
	loop_free(loop);
}

static void loads(void)
{
	char out[64];

	CHECK(sysload_formula(1, 16) == 0.0625);
	CHECK(sysload_formula(1, 0) == SYSLOAD_MAX);
	CHECK(sysload_formula(0, 0) == SYSLOAD_MAX);
	CHECK(sysload_formula(1, -1) == SYSLOAD_MAX);
	sysload_write(0.0625, out);
	CHECK_STR(out, "{\"cpu_load\":0.0625}\n");
	sysload_write(SYSLOAD_MAX, out);
	CHECK_STR(out, "{\"cpu_load\":1000000}\n");
	sysload_write(INFINITY, out);
	CHECK_STR(out, "{\"cpu_load\":1000000}\n");
	sysload_write(1.0 / 3, out);
	CHECK_STR(out, "{\"cpu_load\":0.3333333333333333}\n");
	sysload_write(0.00001, out);
	CHECK(strchr(out, 'e') == strstr(out, "e") && strtod(out + 12, NULL) > 0.0000099);
}

static void idle_parts(void)
{
	const struct sysload_workers then = {.busy = 100, .idle = 1000, .n = 2},
				     now = {.busy = 130, .idle = 1070, .n = 2};

	CHECK(fabs(sysload_idle_part(&then, &now) - 0.7) < 1e-9);
	CHECK(sysload_idle_part(&then, &then) == 1); // they have not turned
	CHECK(sysload_idle_part(&now, &then) == 1);  // another process
}

static bool no_workers(void *, struct sysload_workers *)
{
	return false;
}

static void load_while_draining(void)
{
	struct loop *loop = loop_new();
	struct sysload *s = sysload_new(loop);

	CHECK(sysload_get(s) > 0 && sysload_get(s) <= SYSLOAD_BUSY);
	sysload_drain(s);
	CHECK(sysload_get(s) > SYSLOAD_BUSY && sysload_get(s) < SYSLOAD_MAX);
	sysload_watch(s, false, no_workers, NULL);
	CHECK(sysload_get(s) == SYSLOAD_MAX); // no dataplane is worse than to drain
	sysload_free(s);
	loop_free(loop);
}

CU_TestInfo metrics_tests[] = {
	{"families print like rtcd's; labels are escaped", families},
	{"D19: histograms refuse NaN, infinite and negative values", histograms},
	{"D16: label sets are bounded, odd bytes are not printed", labels_are_bounded},
	{"families are sorted by name", sorted},
	{"D33: cpu_load is finite and a plain decimal", loads},
	{"what workers poll is idle", idle_parts},
	{"D32: cpu_load is the largest while draining", load_while_draining},
	CU_TEST_INFO_NULL,
};
