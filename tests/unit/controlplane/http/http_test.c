// Time limits and the liveness of WebSockets, with limits short enough to wait for.
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "tests/support/controlplane/rig.h"
#include "tests/unit/check.h"

static char out[65536];

struct echo {
	struct loop *loop;
	struct metrics *metrics;
	struct http *http;
	http_id ws, late;
	unsigned n_closed, n_messages;
	struct ws_limits limits;
};

static void on_message(void *arg, bool is_text, struct str payload)
{
	struct echo *e = arg;

	e->n_messages++;
	ws_send(e->http, e->ws, payload.p, payload.len);
}

static void on_closed(void *arg)
{
	((struct echo *)arg)->n_closed++;
}

static void on_request(void *arg, const struct http_request *r)
{
	static const struct ws_handler handler = {on_message, on_closed};
	struct echo *e = arg;

	if (str_eq(r->head->path, STR("/never")))
		return; // never answered
	if (str_eq(r->head->path, STR("/late"))) {
		e->late = r->id;
		return;
	}
	if (str_eq(r->head->path, STR("/ws"))) {
		e->ws = r->id;
		(void)!http_upgrade(e->http, r->id, &e->limits, &handler, e);
		return;
	}
	if (str_eq(r->head->path, STR("/big"))) {
		static char big[8 << 20];

		if (http_may_answer(e->http, STR("tenant")))
			http_reply(e->http, r->id,
				   &(struct http_response){.status = 200,
							   .body = {big, sizeof(big)},
							   .owner = STR("tenant")});
		else
			http_reply_text(e->http, r->id, 503, "later\n", NULL);
		return;
	}
	http_reply(e->http, r->id, &(struct http_response){.status = 200, .body = r->head->path});
}

// The rig's helpers need a struct rig: only its loop and http are used.
static bool echo_open(struct echo *e, struct rig *r, struct http_limits limits)
{
	char why[128];

	*e = (struct echo){.limits = {.max_message = 1000,
				      .max_queue = 1 << 20,
				      .ping = 100 * NS_PER_MS,
				      .pong = 300 * NS_PER_MS,
				      .write = 300 * NS_PER_MS}};
	*r = (struct rig){};
	e->loop = r->loop = loop_new();
	e->metrics = r->metrics = metrics_new();
	e->http = r->http = http_new(e->loop, &limits, NULL, e->metrics, on_request, e);
	return e->http && http_listen(e->http, "127.0.0.1:0", why, sizeof(why)) == 0;
}

static void echo_close(struct echo *e)
{
	http_free(e->http);
	metrics_free(e->metrics);
	loop_free(e->loop);
}

static const struct http_limits short_limits = {.max_conns = 8,
						.max_body = 1000,
						.read = 200 * NS_PER_MS,
						.write = 300 * NS_PER_MS,
						.idle = 400 * NS_PER_MS};

static ns_t time_to_end(struct rig *r, int fd)
{
	ns_t from = clock_now();
	bool ended;

	rig_recv(r, fd, out, sizeof(out), SIZE_MAX, NULL, RIG_WAIT, &ended);
	CHECK(ended);
	close(fd);
	return clock_now() - from;
}

static void refused_ones_make_room(void)
{
	struct http_limits limits = short_limits;
	int bad[8], fd;
	struct echo e;
	struct rig r;

	limits.read = limits.idle = RIG_WAIT;
	CHECK_OR_RETURN(echo_open(&e, &r, limits));
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		bad[i] = rig_connect(&r);
		rig_send(&r, bad[i], "x\r\n\r\n", 5);
		CHECK(rig_recv(&r, bad[i], out, sizeof(out), SIZE_MAX, "400 Bad Request", RIG_WAIT, NULL) >
		      0);
	}
	fd = rig_connect(&r);
	rig_send(&r, fd, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 28);
	rig_recv(&r, fd, out, sizeof(out), SIZE_MAX, "/x", NS_PER_S, NULL);
	CHECK(strncmp(out, "HTTP/1.1 200", 12) == 0); // while they linger, which is 2 s
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		close(bad[i]);
	close(fd);
	echo_close(&e);
}

static void slow_requests_end(void)
{
	struct echo e;
	struct rig r;
	ns_t t;
	int fd;

	CHECK_OR_RETURN(echo_open(&e, &r, short_limits));
	t = time_to_end(&r, rig_connect(&r)); // says nothing
	CHECK(t > 150 * NS_PER_MS && t < 1500 * NS_PER_MS);
	fd = rig_connect(&r);
	for (int i = 0; i < 30; i++) { // a byte each 20 ms: the whole request counts, not each byte
		if (!rig_send(&r, fd, &"GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"[i], 1))
			break;
		rig_turn(&r, 20 * NS_PER_MS);
	}
	CHECK(time_to_end(&r, fd) < 100 * NS_PER_MS); // was cut meanwhile
	fd = rig_connect(&r);
	rig_send(&r, fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
		 52); // body never ends
	t = time_to_end(&r, fd);
	CHECK(t > 100 * NS_PER_MS && t < 1500 * NS_PER_MS);
	fd = rig_connect(&r);
	rig_send(&r, fd, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n", 32);
	t = time_to_end(&r, fd);
	CHECK(t > 250 * NS_PER_MS && t < 1500 * NS_PER_MS);
	CHECK(rig_metric(&r, "sluice_http_refused_total{reason=\"too slow\"} ") >= 2);
	echo_close(&e);
}

// The asker hangs up; strangers connect often enough for his slot's generation to come round.
static void late_answers_reach_nobody_else(void)
{
	struct echo e;
	struct rig r;
	http_id first;
	int fd;

	CHECK_OR_RETURN(echo_open(&e, &r, short_limits));
	fd = rig_connect(&r);
	rig_send(&r, fd, "GET /late HTTP/1.1\r\nHost: x\r\n\r\n", 31);
	rig_turn(&r, 20 * NS_PER_MS);
	first = e.late;
	close(fd);
	CHECK(first != 0);
	rig_turn(&r, 400 * NS_PER_MS); // the limit of answers
	for (unsigned i = 0; i < 600; i++) {
		fd = rig_connect(&r);
		rig_send(&r, fd, "GET /late HTTP/1.1\r\nHost: x\r\n\r\n", 31);
		e.late = 0;
		for (unsigned k = 0; k < 100 && e.late == 0; k++)
			rig_turn(&r, 0);
		CHECK(e.late != first);
		http_reply(e.http, e.late,
			   &(struct http_response){.status = 200, .body = STR("mine"), .must_close = true});
		rig_turn(&r, 0);
		close(fd);
		rig_turn(&r, 0);
	}
	echo_close(&e);
}

static void keeps_alive_and_pipelines(void)
{
	static const char two[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char with_body[] = "POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
					"GET /d HTTP/1.1\r\nHost: x\r\n\r\n";
	struct echo e;
	struct rig r;
	ns_t t;
	int fd;

	CHECK_OR_RETURN(echo_open(&e, &r, short_limits));
	fd = rig_connect(&r);
	rig_send(&r, fd, two, sizeof(two) - 1);
	rig_recv(&r, fd, out, sizeof(out), SIZE_MAX, "\r\n\r\n/b", RIG_WAIT, NULL);
	CHECK(strstr(out, "\r\n\r\n/a") != NULL && strstr(out, "\r\n\r\n/b") > strstr(out, "\r\n\r\n/a"));
	rig_send(&r, fd, with_body, sizeof(with_body) - 1);
	rig_recv(&r, fd, out, sizeof(out), SIZE_MAX, "\r\n\r\n/d", RIG_WAIT, NULL);
	CHECK(strstr(out, "\r\n\r\n/c") != NULL && strstr(out, "\r\n\r\n/d") != NULL);
	t = time_to_end(&r, fd); // idle
	CHECK(t > 300 * NS_PER_MS && t < 1500 * NS_PER_MS);
	echo_close(&e);
}

// They are no request: a connection that sends nothing else ends as one that sends nothing.
static void blank_lines_gain_no_time(void)
{
	struct echo e;
	struct rig r;
	ns_t began = clock_now();
	bool ended = false;
	int fd;

	CHECK_OR_RETURN(echo_open(&e, &r, short_limits));
	fd = rig_connect(&r);
	while (!ended && clock_now() - began < 3 * NS_PER_S) {
		if (send(fd, "\r\n\r\n", 4, MSG_NOSIGNAL) < 0)
			break;
		rig_recv(&r, fd, out, sizeof(out), 1, NULL, 20 * NS_PER_MS, &ended);
	}
	CHECK(clock_now() - began < 1500 * NS_PER_MS);
	close(fd);
	echo_close(&e);
}

static int ask_big(struct rig *r)
{
	int fd = rig_connect(r);

	rig_send(r, fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", 31);
	rig_recv(r, fd, out, 32, 12, NULL, RIG_WAIT, NULL);
	return fd;
}

// Answers of 8 MiB to one owner, who reads the first bytes of each.
static void unread_answers_are_bounded(void)
{
	struct echo e;
	struct rig r;
	int fd[4];

	CHECK_OR_RETURN(echo_open(&e, &r,
				  (struct http_limits){.max_conns = 8,
						       .max_body = 1000,
						       .read = 30 * NS_PER_S,
						       .write = 30 * NS_PER_S,
						       .idle = 30 * NS_PER_S}));
	for (int i = 0; i < 3; i++) {
		fd[i] = ask_big(&r);
		CHECK(memcmp(out + 9, i < 2 ? "200" : "503", 3) == 0);
	}
	CHECK(http_may_answer(e.http, STR("neighbour")));
	close(fd[0]);
	CHECK(rig_metric(&r, "sluice_http_refused_total{reason=\"unread answers\"}") == 1);
	for (ns_t began = clock_now();
	     !http_may_answer(e.http, STR("tenant")) && clock_now() - began < RIG_WAIT;)
		loop_turn(e.loop, NS_PER_MS);
	fd[3] = ask_big(&r);
	CHECK(memcmp(out + 9, "200", 3) == 0);
	for (int i = 1; i < 4; i++)
		close(fd[i]);
	echo_close(&e);
}

static void half_requests_make_room(void)
{
	struct echo e;
	struct rig r;
	int fds[8], fd;

	CHECK_OR_RETURN(echo_open(&e, &r,
				  (struct http_limits){.max_conns = 8,
						       .max_body = 1000,
						       .read = 30 * NS_PER_S,
						       .write = 30 * NS_PER_S,
						       .idle = 30 * NS_PER_S}));
	for (int i = 0; i < 8; i++) {
		fds[i] = rig_connect(&r);
		rig_send(&r, fds[i], "GET /half", 9);
	}
	fd = rig_connect(&r); // one more than allowed: the one that waited longest goes
	rig_send(&r, fd, "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n", 29);
	rig_recv(&r, fd, out, sizeof(out), SIZE_MAX, "\r\n\r\n/ok", RIG_WAIT, NULL);
	CHECK(strstr(out, "200 OK") != NULL);
	CHECK(time_to_end(&r, fds[0]) < NS_PER_S);
	for (int i = 1; i < 8; i++)
		close(fds[i]);
	close(fd);
	echo_close(&e);
}

static int open_ws(struct rig *r)
{
	static const char request[] =
		"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	int fd = rig_connect(r);

	rig_send(r, fd, request, sizeof(request) - 1);
	CHECK_EQ(rig_recv(r, fd, out, sizeof(out), 129, NULL, RIG_WAIT, NULL), 129);
	return fd;
}

static void only_pongs_keep_alive(void)
{
	struct echo e;
	struct rig r;
	unsigned n_pings = 0;
	ns_t t, from;
	int fd;

	CHECK_OR_RETURN(echo_open(&e, &r, short_limits));
	fd = open_ws(&r);
	t = time_to_end(&r, fd); // silent: cut after the deadline, without a close frame
	CHECK(t > 200 * NS_PER_MS && t < 1500 * NS_PER_MS);
	CHECK_MEM(out, "\x89\x00", 2); // a ping had come
	CHECK_EQ(e.n_closed, 1);
	fd = open_ws(&r);
	from = clock_now();
	for (int i = 0; i < 100 && rig_frame(&r, fd, 0x82, "x", 1); i++) // data does not count
		rig_turn(&r, 20 * NS_PER_MS);
	t = clock_now() - from;
	CHECK(t > 200 * NS_PER_MS && t < 1500 * NS_PER_MS);
	close(fd);
	fd = open_ws(&r);
	from = clock_now();
	while (clock_now() - from < NS_PER_S) { // pongs do
		if (rig_recv(&r, fd, out, sizeof(out), 2, NULL, 50 * NS_PER_MS, NULL) == 2) {
			CHECK_MEM(out, "\x89\x00", 2);
			n_pings++;
			rig_frame(&r, fd, 0x8a, "", 0);
		}
	}
	CHECK(n_pings >= 7 && n_pings <= 11);
	CHECK_EQ(e.n_closed, 2);
	close(fd);
	rig_turn(&r, 50 * NS_PER_MS);
	CHECK_EQ(e.n_closed, 3);
	echo_close(&e);
}

static void stalled_writes_end(void)
{
	static char data[500000];
	struct echo e;
	struct rig r;
	int fd;

	CHECK_OR_RETURN(echo_open(&e, &r, short_limits));
	e.limits.pong = 30 * NS_PER_S;
	e.limits.max_queue = 64 << 20;
	fd = open_ws(&r);
	for (int i = 0; i < 40; i++) // more than the kernel buffers
		CHECK_EQ(ws_send(e.http, e.ws, data, sizeof(data)), 0);
	for (int i = 0; i < 100 && e.n_closed == 0; i++)
		rig_turn(&r, 20 * NS_PER_MS);
	CHECK_EQ(e.n_closed, 1);
	CHECK(rig_metric(&r, "sluice_ws_drops_total{reason=\"slow peer\"} ") == 1);
	close(fd);
	echo_close(&e);
}

static void listens(void)
{
	struct echo e;
	struct rig r;
	char why[256], taken[32];

	CHECK_OR_RETURN(echo_open(&e, &r, short_limits));
	snprintf(taken, sizeof(taken), "127.0.0.1:%u", http_port(e.http));
	CHECK_EQ(http_listen(e.http, taken, why, sizeof(why)), -EADDRINUSE);
	CHECK(strstr(why, "change api.listen") != NULL);
	CHECK_EQ(http_listen(e.http, "nonsense", why, sizeof(why)), -EINVAL);
	CHECK_EQ(http_listen(e.http, ":0", why, sizeof(why)), 0);
	CHECK_EQ(http_listen(e.http, "[::1]:0", why, sizeof(why)), 0);
	echo_close(&e);
}

CU_TestInfo http_tests[] = {
	{"connections that linger after a refusal make room for others", refused_ones_make_room},
	{"slow and unfinished requests end at their limits", slow_requests_end},
	{"an answer that is late reaches no later connection", late_answers_reach_nobody_else},
	{"keep-alive, pipelining, blank lines, idle limit", keeps_alive_and_pipelines},
	{"blank lines gain a connection no time", blank_lines_gain_no_time},
	{"answers that their owner does not read are bounded, and others have room",
	 unread_answers_are_bounded},
	{"half requests make room for whole ones", half_requests_make_room},
	{"only pongs keep a WebSocket alive", only_pongs_keep_alive},
	{"D11: a peer that takes nothing for long is cut", stalled_writes_end},
	{"listen errors name the fix; several addresses", listens},
	CU_TEST_INFO_NULL,
};
