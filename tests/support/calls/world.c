#include "tests/support/calls/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "tests/support/calls/fake_dp.h"

struct world *world;

void world_hub(void)
{
	world->hub = hub_new(world->loop, &world->conf, NULL, NULL, NULL);
	CHECK(world->hub != NULL);
}

void world_init(void)
{
	struct conf_error err;

	clock_speed(0);
	world = calloc(1, sizeof(*world));
	log_set_level(getenv("SLUICE_TEST_LOG") ? LOG_DEBUG : LOG_ERROR);
	world->loop = loop_new();
	world->listen_fd = world->ring_fd = world->bells[0] = world->bells[1] = -1;
	strcpy(world->dir, "/tmp/sluice-calls-XXXXXX");
	MUST(mkdtemp(world->dir) != NULL);
	snprintf(world->socket, sizeof(world->socket), "%s/dp.sock", world->dir);
	MUST(conf_parse(&world->conf, "test", "", 0, &err) == 0);
	free(world->conf.dataplane.socket);
	world->conf.dataplane.socket = strdup(world->socket);
	world->boot_id = 1;
	world->dtls = dtls_ctx_new();
	dp_listen();
	world_hub();
}

void world_begin(void)
{
	world_init();
	CHECK(world_until(world_serves(), 2));
}

void world_turn(void)
{
	loop_turn(world->loop, 0);
	clock_pass(NS_PER_MS);
	for (unsigned i = 0; i < world->n_clients; i++) {
		struct client *c = world->clients[i];
		if (c->dtls && !c->is_up)
			dtls_tick(c->dtls, loop_now(world->loop));
	}
}

bool world_serves(void)
{
	struct hub_load l;

	hub_load(world->hub, &l);
	return !l.restoring && world->chan != NULL;
}

unsigned world_sessions(void)
{
	struct hub_load l;

	hub_load(world->hub, &l);
	return l.n_sessions;
}

void world_fini(void)
{
	for (unsigned i = 0; i < world->n_clients; i++)
		client_gone(world->clients[i]);
	hub_free(world->hub);
	dp_die();
	store_clear();
	for (unsigned i = 0; i < world->n_clients; i++) {
		free(world->clients[i]->answer);
		free(world->clients[i]->offer);
		free(world->clients[i]);
	}
	dtls_ctx_free(world->dtls);
	loop_free(world->loop);
	conf_fini(&world->conf);
	unlink(world->socket);
	rmdir(world->dir);
	free(world);
	world = NULL;
}

void world_kill_hub(void)
{
	static struct fake_record kept[MAX_RECORDS];
	unsigned n = world->n_records, closes[MAX_CLIENTS];

	memcpy(kept, world->records, sizeof(kept));
	world->n_records = 0;
	for (unsigned i = 0; i < world->n_clients; i++)
		closes[i] = world->clients[i]->n_closes;
	dp_hang_up();
	for (unsigned i = 0; i < world->n_clients; i++)
		client_gone(world->clients[i]);
	hub_free(world->hub);
	world->hub = NULL;
	memcpy(world->records, kept, sizeof(kept));
	world->n_records = n;
	for (unsigned i = 0; i < world->n_clients; i++)
		world->clients[i]->n_closes = closes[i];
}
