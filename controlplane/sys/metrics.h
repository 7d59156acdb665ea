// What /metrics shows: rtcd's families under rtcd's names (rtcd-compatible dashboards work unchanged), the
// process, and ours under sluice_. Prometheus text format 0.0.4.
//
// Labels come from known sets only: authenticated clients (= groups), our own type words. A family keeps at
// most METRIC_MAX_CHILDREN label sets; what comes later is counted under "other".
// thread: loop.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

#define METRIC_MAX_CHILDREN 4096

// id, name, type, labels in byte order, buckets, help
#define METRICS_FAMILIES(X)                                                                               \
	X(M_RTC_CLIENT_JITTER, "rtcd_rtc_client_jitter", HISTOGRAM, "groupID", L,                         \
	  "jitter as the client measures it, seconds")                                                    \
	X(M_RTC_CLIENT_LOSS_RATE, "rtcd_rtc_client_loss_rate", HISTOGRAM, "groupID", R,                   \
	  "loss as the client measures it, 0 to 1")                                                       \
	X(M_RTC_CLIENT_RTT, "rtcd_rtc_client_rtt", HISTOGRAM, "groupID", L,                               \
	  "round trip as the client measures it, seconds")                                                \
	X(M_RTC_CONN_STATES, "rtcd_rtc_conn_states_total", COUNTER, "type", N,                            \
	  "state changes of peer connections")                                                            \
	X(M_RTC_CONNECTION_TIME, "rtcd_rtc_connection_time", HISTOGRAM, "groupID", D,                     \
	  "time from join to connected, seconds")                                                         \
	X(M_RTC_DC_OPEN_TIME, "rtcd_rtc_dc_open_time", HISTOGRAM, "groupID", D,                           \
	  "time from the first answer to the open data channel, seconds")                                 \
	X(M_RTC_ERRORS, "rtcd_rtc_errors_total", COUNTER, "groupID,type", N, "RTC errors")                \
	X(M_RTC_RTP_TRACKS, "rtcd_rtc_rtp_tracks_total", GAUGE, "direction,groupID,type", N,              \
	  "active RTP tracks")                                                                            \
	X(M_RTC_RTP_WRITES, "rtcd_rtc_rtp_tracks_writes_time", HISTOGRAM, "groupID,type", L,              \
	  "time to forward one packet, seconds; always empty")                                            \
	X(M_RTC_SESSIONS, "rtcd_rtc_sessions_total", GAUGE, "groupID", N, "active sessions")              \
	X(M_RTC_LOCK_GRAB, "rtcd_rtc_signaling_lock_grab_time", HISTOGRAM, "groupID", D,                  \
	  "time spent waiting for the signaling lock, seconds")                                           \
	X(M_RTC_LOCK_HELD, "rtcd_rtc_signaling_lock_locked_time", HISTOGRAM, "groupID", D,                \
	  "time the signaling lock was held, seconds")                                                    \
	X(M_WS_CONNECTIONS, "rtcd_ws_connections_total", GAUGE, "clientID", N, "open plugin WebSockets")  \
	X(M_WS_MESSAGES, "rtcd_ws_messages_total", COUNTER, "clientID,direction,type", N,                 \
	  "messages on plugin WebSockets")                                                                \
	X(M_AUTH, "sluice_auth_total", COUNTER, "result", N, "authentications by result")                 \
	X(M_DRAINING, "sluice_draining", GAUGE, "", N, "1 while draining")                                \
	X(M_HTTP_REQUESTS, "sluice_http_requests_total", COUNTER, "code,route", N,                        \
	  "HTTP requests by route and status")                                                            \
	X(M_HTTP_CONNS, "sluice_http_connections", GAUGE, "", N, "open TCP connections of the API")       \
	X(M_HTTP_REFUSED, "sluice_http_refused_total", COUNTER, "reason", N,                              \
	  "connections and requests refused or cut")                                                      \
	X(M_JOINS_REFUSED, "sluice_joins_refused_total", COUNTER, "reason", N, "joins refused by reason") \
	X(M_SESSIONS_CLOSED, "sluice_sessions_closed_total", COUNTER, "reason", N,                        \
	  "sessions ended by reason")                                                                     \
	X(M_SIGNALING_DROPS, "sluice_signaling_drops_total", COUNTER, "reason", N,                        \
	  "messages of plugins and data channels, and SDP, that were dropped")                            \
	X(M_WS_DROPS, "sluice_ws_drops_total", COUNTER, "reason", N,                                      \
	  "plugin messages dropped or connections cut")

enum metric {
#define METRIC_ID(id, ...) id,
	METRICS_FAMILIES(METRIC_ID)
#undef METRIC_ID
		N_METRICS
};

struct metrics;
struct metrics *metrics_new(void); // NULL + errno
void metrics_free(struct metrics *);

// Label values in the order of the table ("direction,groupID,type" -> METRIC_LABELS(dir, group, type)).
#define METRIC_LABELS(...) ((const struct str[]){__VA_ARGS__})
#define METRIC_NO_LABELS ((const struct str *)NULL)

void metric_add(struct metrics *, enum metric, const struct str *labels, double delta); // counter, gauge
void metric_set(struct metrics *, enum metric, const struct str *labels, double value); // gauge
// NaN, infinite and negative values are refused (D19) and counted.
void metric_observe(struct metrics *, enum metric, const struct str *labels, double value); // histogram

// Values that are read at scrape time only: fn is called for each scrape and writes whole families.
struct metrics_out;
typedef void (*metrics_collect_fn)(void *arg, struct metrics_out *);
[[nodiscard]] int metrics_collector(struct metrics *, metrics_collect_fn, void *arg); // 0, -ENOSPC, -ENOMEM
// type: "counter" or "gauge". Begin a family, then its samples; labels is ready text: "worker=\"0\"" or "".
void metrics_out_family(struct metrics_out *, const char *name, const char *type, const char *help);
void metrics_out_sample(struct metrics_out *, const char *labels, double value);
// A family of one sample without labels.
void metrics_out_value(struct metrics_out *, const char *name, const char *type, const char *help,
		       double value);

// The exposition. Returns a malloc'ed text, *len bytes, or NULL when out of memory. Caller frees.
char *metrics_text(struct metrics *, size_t *len);
