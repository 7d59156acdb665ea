// Answers carry no name but the session's: the oldest question about it is meant. One that was given up leaves an
// answer behind, which ends with the number of a question that is not there.
#include "controlplane/calls/query.h"

#include <assert.h>
#include <stdlib.h>

#include "controlplane/session/command.h"
#include "controlplane/session/session.h"
#include "lib/base/err.h"

struct query {
	TAILQ_ENTRY(query) link;
	struct queries *queries; // borrowed
	uint32_t sid, seq;
	query_done_fn done;
	void *arg;
	struct timer limit;
	unsigned n_legs;
	struct ipc_leg_state legs[QUERY_MAX_VIDEOS];
};

struct queries {
	struct session_env *env;  // borrowed
	TAILQ_HEAD(, query) list; // oldest first
	unsigned n;
};

static void query_free(struct query *q)
{
	struct queries *all = q->queries;

	assert(all->n > 0);
	loop_cancel(all->env->loop, &q->limit);
	TAILQ_REMOVE(&all->list, q, link);
	all->n--;
	free(q);
}

static void query_fail(struct query *q, int err)
{
	query_done_fn done = q->done;
	void *arg = q->arg;

	query_free(q);
	done(arg, err, NULL);
}

static void on_query_limit(struct timer *t, ns_t now)
{
	query_fail(container_of(t, struct query, limit), -ETIMEDOUT);
}

static struct query *query_new(struct queries *all, uint32_t sid)
{
	struct query *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->queries = all;
	q->sid = sid;
	q->limit.on_due = on_query_limit;
	TAILQ_INSERT_TAIL(&all->list, q, link);
	all->n++;
	loop_arm_in(all->env->loop, &q->limit, QUERY_LIMIT_MS * NS_PER_MS);
	return q;
}

int queries_ask(struct queries *all, const struct session_key *key, const char **what, query_done_fn done,
		void *arg)
{
	struct registry_hit hit = registry_resolve(all->env->registry, key);
	struct query *q;

	*what = hit.missing ? hit.missing : "session";
	if (hit.member == NULL)
		return -ENOENT;
	if (all->n == QUERY_MAX)
		return -EBUSY;
	q = query_new(all, hit.member->sid);
	if (q == NULL)
		return -ENOMEM;
	q->seq = command_query(all->env->link, q->sid);
	if (q->seq == 0) {
		query_free(q);
		return -ENOTCONN;
	}
	q->done = done;
	q->arg = arg;
	return 0;
}

void queries_forget(struct queries *all, const void *arg)
{
	struct query *q, *next;

	TAILQ_EACH_SAFE (q, &all->list, link, next)
		if (q->arg == arg)
			query_free(q);
}

struct queries *queries_new(struct session_env *env)
{
	struct queries *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return NULL;
	all->env = env;
	TAILQ_INIT(&all->list);
	return all;
}

void queries_free(struct queries *all)
{
	if (all == NULL)
		return;
	while (!TAILQ_EMPTY(&all->list))
		query_free(TAILQ_FIRST(&all->list));
	free(all);
}

// --- answers -----------------------------------------------------------------------------------------
// Its source may have ended since.
static bool fill_video(const struct session_env *env, const struct ipc_leg_state *l, struct query_video *v)
{
	const struct session *sender = session_find(env, l->src_sid);
	const struct track *t = sender ? &sender->tracks[l->src_track] : NULL;

	if (t == NULL || !t->used)
		return false;
	*v = (struct query_video){.sender_id = str_of(sender->member.session_id),
				  .type = negotiate_type_name(t->type),
				  .codec = t->codec == CODEC_AV1 ? "AV1" : "VP8",
				  .state = *l};
	return true;
}

static void query_answer(struct query *q, const struct ipc_session_state *state)
{
	const struct session *s = session_find(q->queries->env, q->sid);
	struct query_video videos[QUERY_MAX_VIDEOS];
	struct query_view view = {.state = *state, .video = videos};
	query_done_fn done = q->done;
	void *arg = q->arg;

	assert(q->n_legs <= QUERY_MAX_VIDEOS);
	if (s == NULL) {
		query_fail(q, -ENOENT);
		return;
	}
	view.session_id = str_of(s->member.session_id);
	for (unsigned i = 0; i < q->n_legs; i++)
		view.n_videos += fill_video(q->queries->env, &q->legs[i], &videos[view.n_videos]);
	query_free(q);
	done(arg, 0, &view);
}

static struct query *oldest_of(struct queries *all, uint32_t sid)
{
	struct query *q;

	TAILQ_FOREACH (q, &all->list, link)
		if (q->sid == sid)
			return q;
	return NULL;
}

static void on_query_refused(struct queries *all, const struct ipc_ack *a)
{
	struct query *q;

	TAILQ_FOREACH (q, &all->list, link) {
		if (q->seq == a->hdr.seq) {
			query_fail(q, a->err);
			return;
		}
	}
}

void queries_on_event(struct queries *all, const union ipc_msg *m)
{
	struct query *q;

	if (m->hdr.type == EVT_ACK) {
		on_query_refused(all, &m->ack);
	} else if (m->hdr.type == EVT_LEG_STATE) {
		q = oldest_of(all, m->leg_state.sid);
		if (q != NULL && q->n_legs < QUERY_MAX_VIDEOS)
			q->legs[q->n_legs++] = m->leg_state;
	} else if ((q = oldest_of(all, m->session_state.sid)) != NULL) {
		if (q->seq == m->hdr.seq)
			query_answer(q, &m->session_state);
		else
			q->n_legs = 0; // they were of an answer that came too late
	}
}
