// What the dataplane is asked on behalf of the API.
#include "controlplane/api/mediajson.h"
#include "controlplane/calls/hub.h"
#include "tests/support/calls/client.h"
#include "tests/support/calls/fake_dp.h"
#include "tests/support/calls/video.h"
#include "tests/support/calls/world.h"

static struct {
	unsigned n;
	int err;
	char json[4096];
} answer;

static void on_answer(void *arg, int err, const struct query_view *v)
{
	struct wbuf w = wbuf_of(answer.json, sizeof(answer.json) - 1);

	answer.n++;
	answer.err = err;
	if (v != NULL)
		mediajson_write(&w, v);
	answer.json[wbuf_len(&w)] = '\0';
}

static int ask(const char *call, const char *id)
{
	const char *what;

	return queries_ask(hub_queries(world->hub),
			   &(struct session_key){STR("clientA"), str_of(call), str_of(id)}, &what, on_answer,
			   &answer);
}

static void dp_leg_state(const struct client *viewer, const struct client *sender, unsigned track)
{
	struct ipc_leg_state l;

	ipc_begin(&l, EVT_LEG_STATE);
	l.sid = viewer->sid;
	l.src_sid = sender->sid;
	l.src_track = (uint16_t)track;
	l.n_layers = 2;
	l.layer = 1;
	l.layer_bps[0] = 500000;
	l.layer_bps[1] = 2500000;
	l.sent_bps = 2400000;
	l.n_switches = 3;
	dp_event(&l);
}

static void dp_session_state(const struct client *c, uint32_t seq)
{
	struct ipc_session_state s;

	ipc_begin(&s, EVT_SESSION_STATE);
	s.hdr.seq = seq;
	s.sid = c->sid;
	s.estimate_bps = 3000000;
	s.rtt_us = 20500;
	s.loss = 12;
	s.remote = (struct ipc_addr){.family = 4, .proto = 6, .port = 4000, .ip = {192, 0, 2, 7}};
	dp_event(&s);
}

static void what_is_received(void)
{
	struct client *viewer, *c;

	world_begin();
	memset(&answer, 0, sizeof(answer));
	viewer = client_connect_with("viewer", false, NULL, 0);
	c = client_connect_with("alice", false, camera, 1);
	client_rtc(c, RTC_VIDEO_ON, "{\"videoStreamID\":\"cam\"}");
	CHECK_EQ(ask("call1", "nobody"), -ENOENT);
	CHECK_EQ(ask("call2", "viewer"), -ENOENT);
	CHECK_EQ(ask("call1", "viewer"), 0);
	CHECK(world_until(world->n_queries == 1, 1));
	dp_leg_state(viewer, c, 0);
	dp_leg_state(viewer, c, 9); // has ended
	dp_session_state(viewer, world->query_seq);
	CHECK(world_until(answer.n == 1, 0.9));
	CHECK_EQ(answer.err, 0);
	CHECK_STR(answer.json,
		  "{\"session_id\":\"viewer\",\"estimate_bps\":3000000,\"rtt_ms\":20.500,\"loss\":0.012,"
		  "\"queue_ms\":0,\"probes\":0,\"path\":{\"protocol\":\"tcp\",\"address\":\"192.0.2.7\","
		  "\"port\":4000},"
		  "\"video\":[{\"sender_id\":\"alice\",\"type\":\"video\",\"codec\":\"VP8\",\"layer\":1,"
		  "\"layer_bps\":[500000,2500000],\"sent_bps\":2400000,\"paused\":false,\"switches\":3,"
		  "\"nacked\":0,"
		  "\"resent\":0,\"key_requests\":0}]}\n");
	world_fini();
}

static void questions_are_bounded(void)
{
	struct client *c;
	uint32_t late;

	world_begin();
	memset(&answer, 0, sizeof(answer));
	c = client_connect_with("alice", false, NULL, 0);
	for (unsigned i = 0; i < QUERY_MAX; i++)
		CHECK_EQ(ask("call1", "alice"), 0);
	CHECK_EQ(ask("call1", "alice"), -EBUSY);
	CHECK(world_until(world->n_queries == QUERY_MAX, 1));
	late = world->query_seq;
	CHECK(world_until(answer.n == QUERY_MAX, 1.5));
	CHECK_EQ(answer.err, -ETIMEDOUT);
	// the late answer is not taken for one to the next question
	CHECK_EQ(ask("call1", "alice"), 0);
	CHECK(world_until(world->n_queries == QUERY_MAX + 1, 1));
	dp_leg_state(c, c, 0);
	dp_session_state(c, late);
	dp_session_state(c, world->query_seq);
	CHECK(world_until(answer.n == QUERY_MAX + 1, 0.9));
	CHECK_EQ(answer.err, 0);
	CHECK(strstr(answer.json, "\"video\":[]") != NULL);
	// nobody listens any more; and one that the hub client_takes with it
	CHECK_EQ(ask("call1", "alice"), 0);
	queries_forget(hub_queries(world->hub), &answer);
	CHECK(!world_until(answer.n > QUERY_MAX + 1, 1.2));
	CHECK_EQ(ask("call1", "alice"), 0);
	world_fini();
}

CU_TestInfo query_tests[] = {
	{"what a session receives is asked of the dataplane", what_is_received},
	{"questions are bounded, time out, and late answers hit nobody", questions_are_bounded},
	CU_TEST_INFO_NULL,
};
