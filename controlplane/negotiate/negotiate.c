// The session as its owner sees it: its life, the tracks it wants, and what can be asked of it.
#include "controlplane/negotiate/negotiate_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/rand.h"

// --- life ----------------------------------------------------------------------------------------

struct negotiate *negotiate_new(const struct negotiate_conf *conf, const struct negotiate_ice *local,
				const struct negotiate_ops *ops, void *arg)
{
	struct negotiate *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return err_null(ENOMEM);
	n->conf = conf;
	n->ops = ops;
	n->arg = arg;
	n->local = *local;
	n->fingerprint = conf->fingerprint;
	n->data_line = -1;
	TAILQ_INIT(&n->wanted);
	n->origin_id = rand_u64() >> 1;
	n->ssrc_key = rand_u64();
	n->pt_opus = 111;
	n->pt_vp8 = 96;
	n->pt_vp8_rtx = 97;
	n->pt_av1 = 45;
	n->pt_av1_rtx = 46;
	n->offer_at = NS_NEVER;
	return n;
}

void negotiate_free(struct negotiate *n)
{
	struct wanted *l, *next;

	if (n == NULL)
		return;
	TAILQ_EACH_SAFE (l, &n->wanted, link, next)
		free(l);
	for (unsigned i = 0; i < n->n_lines; i++)
		free(n->lines[i].up);
	free(n->lines);
	explicit_bzero(&n->local, sizeof(n->local));
	explicit_bzero(n->peer_pwd, sizeof(n->peer_pwd));
	free(n);
}

// --- wanting -------------------------------------------------------------------------------------

static struct wanted *wanted_find(const struct negotiate *n, struct negotiate_key key)
{
	struct wanted *l;

	TAILQ_FOREACH (l, &n->wanted, link)
		if (l->key.sid == key.sid && l->key.track == key.track)
			return l;
	return NULL;
}

// Characters that may stand in a msid, so that no session id can add a line to a description.
static bool id_is_valid(struct str s, size_t max)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || memchr("\"(),/:;<=>?@[\\]", s.p[i], 15) != NULL)
			return false;
	return s.len > 0 && s.len <= max;
}

static bool want_is_valid(const struct negotiate_want *w)
{
	bool audio = w->codec == CODEC_OPUS, video = w->codec == CODEC_VP8 || w->codec == CODEC_AV1;

	if (w->type > TYPE_VIDEO || !id_is_valid(w->session_id, NEGOTIATE_MAX_ID) ||
	    !id_is_valid(w->track_suffix, 16))
		return false;
	return w->type == TYPE_SCREEN || w->type == TYPE_VIDEO ? video : audio;
}

int negotiate_want(struct negotiate *n, const struct negotiate_want *w, ns_t now)
{
	struct wanted *l = wanted_find(n, w->key);

	if (l != NULL) {
		l->confirmed = true;
		return 0;
	}
	if (!want_is_valid(w))
		return -EINVAL;
	if (w->codec != CODEC_OPUS && !n->conf->video)
		return -ENOTSUP;
	if (n->n_wanted == NEGOTIATE_MAX_WANTS) {
		n->starved = true;
		return -ENOSPC;
	}
	l = calloc(1, sizeof(*l) + w->session_id.len + w->track_suffix.len);
	if (l == NULL)
		return -ENOMEM;
	l->key = w->key;
	l->type = (uint8_t)w->type;
	l->codec = w->codec;
	l->line = l->offered_line = -1;
	l->confirmed = true;
	l->id_len = (uint8_t)w->session_id.len;
	l->suffix_len = (uint8_t)w->track_suffix.len;
	memcpy(l->text, w->session_id.p, w->session_id.len);
	memcpy(l->text + l->id_len, w->track_suffix.p, w->track_suffix.len);
	TAILQ_INSERT_TAIL(&n->wanted, l, link);
	n->n_wanted++;
	offer_soon(n, now);
	return 0;
}

bool negotiate_has_offered(const struct negotiate *n, uint8_t codec)
{
	return n->offered_codecs >> codec & 1;
}

bool negotiate_takes(const struct negotiate *n, uint8_t codec)
{
	if (codec == CODEC_OPUS)
		return true;
	if (!n->conf->video || (n->refused_codecs >> codec & 1))
		return false;
	return n->offered_codecs == 0 || (n->offered_codecs >> codec & 1);
}

static void wanted_forget(struct negotiate *n, struct wanted *l, ns_t now)
{
	wanted_drop(n, l);
	assert(n->n_wanted > 0);
	TAILQ_REMOVE(&n->wanted, l, link);
	n->n_wanted--;
	free(l);
	offer_soon(n, now);
	if (n->starved && n->n_wanted <= NEGOTIATE_MAX_WANTS * 3 / 4) {
		n->starved = false;
		if (n->ops->room)
			n->ops->room(n->arg);
	}
}

void negotiate_unwant(struct negotiate *n, struct negotiate_key key, ns_t now)
{
	struct wanted *l = wanted_find(n, key);

	if (l != NULL)
		wanted_forget(n, l, now);
}

void negotiate_unwant_session(struct negotiate *n, uint32_t sid, ns_t now)
{
	struct wanted *l, *next;

	TAILQ_EACH_SAFE (l, &n->wanted, link, next)
		if (l->key.sid == sid)
			wanted_forget(n, l, now);
}

bool negotiate_leg_failed(struct negotiate *n, uint16_t number, ns_t now)
{
	struct wanted *l;

	TAILQ_FOREACH (l, &n->wanted, link)
		if (l->up && l->number == number)
			break;
	if (l == NULL)
		return true; // it is gone already
	if (++l->n_failed >= NEGOTIATE_MAX_REFUSALS)
		return false;
	wanted_drop(n, l);
	offer_soon(n, now);
	return true;
}

// --- questions -----------------------------------------------------------------------------------

bool negotiate_established(const struct negotiate *n)
{
	return n->established;
}

void negotiate_stats(const struct negotiate *n, struct negotiate_stats *out)
{
	*out = n->stats;
}

uint32_t negotiate_version(const struct negotiate *n)
{
	return n->version;
}

void negotiate_each_leg(const struct negotiate *n, void (*fn)(void *arg, const struct negotiate_leg *),
			void *arg)
{
	struct negotiate_leg view;
	struct wanted *l;

	TAILQ_FOREACH (l, &n->wanted, link) {
		if (l->up) {
			wanted_view(n, l, &view);
			fn(arg, &view);
		}
	}
}

void negotiate_each_upstream(const struct negotiate *n,
			     void (*fn)(void *arg, const struct negotiate_upstream *), void *arg)
{
	struct negotiate_upstream view;

	for (unsigned i = 0; i < n->n_lines; i++) {
		if (n->lines[i].up) {
			upstream_view(&n->lines[i], &view);
			fn(arg, &view);
		}
	}
}

void negotiate_extmap(const struct negotiate *n, uint8_t id[IPC_N_EXTS])
{
	memcpy(id, n->ext_id, IPC_N_EXTS);
}

bool negotiate_transport(const struct negotiate *n, struct negotiate_transport *out)
{
	*out = (struct negotiate_transport){.ufrag = str_of(n->peer_ufrag),
					    .pwd = str_of(n->peer_pwd),
					    .fingerprint = &n->peer_fingerprint,
					    .we_are_dtls_client = n->dtls_client,
					    .has_data = n->data_line >= 0,
					    .max_message_size = n->peer_max_message};
	return n->established;
}

void negotiate_load_done(struct negotiate *n, ns_t now)
{
	struct wanted *l, *next;

	TAILQ_EACH_SAFE (l, &n->wanted, link, next)
		if (!l->confirmed)
			wanted_forget(n, l, now);
	// The client may have got the lock from the process that died, and not know better than to offer.
	if (n->established) {
		n->lock = LOCK_CLIENT;
		n->lock_assumed = true;
		n->lock_until = now + 2 * NS_PER_S;
	}
	offer_soon(n, now);
}
