// plugins.h as the hub uses it: what would go to a plugin reaches the client it is for.
#include "controlplane/plugin/plugins.h"

#include "tests/support/calls/client.h"
#include "tests/support/calls/world.h"

void plugins_send_rtc(struct plugins *p, struct str client, conn_id preferred, enum deliver deliver,
		      enum rtc_type type, struct str user_id, struct str session_id, struct str call_id,
		      struct str data)
{
	struct client *c = client_by_id(session_id);

	if (c == NULL)
		return;
	CHECK(user_id.len > 0 && call_id.len > 0);
	c->last_conn = preferred;
	if (type == RTC_SDP)
		client_on_sdp(c, data, false);
	c->n_voice_on += type == RTC_VOICE_ON;
	c->n_voice_off += type == RTC_VOICE_OFF;
	CHECK(type == RTC_SDP ? deliver == DELIVER_ALL : deliver == DELIVER_ONE);
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
