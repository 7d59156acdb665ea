// plugins.h as the hub uses it: what would go to a plugin reaches the client it is for.
#include "controlplane/plugin/plugins.h"

#include "tests/support/calls/client.h"
#include "tests/support/calls/world.h"

void plugins_send_rtc(struct plugins *p, conn_id preferred, enum deliver deliver, const struct rtc_msg *m)
{
	struct client *c = client_by_id(m->session_id);

	if (c == NULL)
		return;
	CHECK(m->user_id.len > 0 && m->call_id.len > 0);
	c->last_conn = preferred;
	if (m->type == RTC_SDP)
		client_on_sdp(c, m->data, false);
	c->n_voice_on += m->type == RTC_VOICE_ON;
	c->n_voice_off += m->type == RTC_VOICE_OFF;
	CHECK(m->type == RTC_SDP ? deliver == DELIVER_ALL : deliver == DELIVER_ONE);
}

void plugins_send_close(struct plugins *p, struct str client, conn_id preferred, struct str session_id)
{
	struct client *c = client_by_id(session_id);

	CHECK(str_copy(session_id, world->last_close, sizeof(world->last_close)));
	if (c != NULL && str_eq(client, STR("clientA"))) // all of its clients are
		c->n_closes++;
	else
		world->n_unknown_closes++;
}
