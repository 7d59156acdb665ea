// What every part of the model uses: finding by id, mail to a session's home, and freeing later.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/ctl/model_priv.h"
#include "dataplane/worker/mail.h"
#include "lib/base/err.h"
#include "lib/base/pool.h"

struct m_session *model_find_session(const struct model *m, uint32_t sid)
{
	uint32_t slot = handle_slot(sid);
	struct m_session *s = slot < m->dp->max_sessions ? m->session[slot] : NULL;

	return s && s->sid == sid ? s : NULL;
}

struct m_leg *model_find_leg(const struct m_session *s, uint16_t id)
{
	struct m_leg *leg;

	LIST_FOREACH (leg, &s->legs, of_session)
		if (leg->add.leg == id)
			return leg;
	return NULL;
}

// After the workers have returned nobody else does their mails.
void model_send(struct worker *to, const struct mail *mail)
{
	mail_post(to, mail);
	if (atomic_load_explicit(&to->dp->stop, memory_order_relaxed))
		mail_drain(to);
}

void model_post(struct m_session *s, struct mail mail)
{
	mail.session = s->session;
	model_send(s->home, &mail);
}

void model_retire(struct model *m, void (*free_fn)(void *), void *object, struct worker *home)
{
	assert(free_fn != NULL);
	if (object == NULL)
		return;
	if (m->n_retired == m->retired_size) {
		m->retired_size = m->retired_size ? 2 * m->retired_size : 64;
		m->retired = realloc(m->retired, m->retired_size * sizeof(*m->retired));
		// cannot: what can be retired is limited as sessions, tracks and legs are
		MUST(m->retired != NULL);
	}
	m->retired[m->n_retired].free_fn = free_fn;
	m->retired[m->n_retired].object = object;
	m->retired[m->n_retired++].home = home;
}

void model_addr_of_key(struct ipc_addr *remote, struct ipc_addr *local, const struct flow_key *key)
{
	uint8_t proto = key->conn ? 6 : 17;

	*remote = (struct ipc_addr){
		.family = key->family, .proto = proto, .port = key->remote_port, .conn = key->conn};
	*local = (struct ipc_addr){
		.family = key->family, .proto = proto, .port = key->local_port, .conn = key->conn};
	memcpy(remote->ip, key->remote, sizeof(remote->ip));
	memcpy(local->ip, key->local, sizeof(local->ip));
}
