// The calls between fakes: plugin connections, addresses, metrics and store are functions of this library,
// which the linker takes before those of the control plane; the dataplane is the other end of a real ipc link
// on the same loop; clients are real DTLS and SCTP peers.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/calls/hub.h"
#include "controlplane/sys/loop.h"
#include "controlplane/sys/metrics.h"
#include "controlplane/store/store.h"
#include "lib/conf/conf.h"
#include "lib/ipc/ipc.h"
#include "lib/ipc/pktring.h"
#include "lib/ipc/statseg.h"
#include "tests/support/calls/client.h"
#include "tests/support/calls/fake_store.h"
#include "tests/support/clock/fake_clock.h"
#include "tests/unit/check.h"

#define MAX_CLIENTS 600
#define MAX_RECORDS 1024

struct world {
	struct loop *loop;
	struct hub *hub;
	struct conf conf;
	char dir[64], socket[96];
	// dataplane
	int listen_fd;
	struct loop_fd *listen_watch, *chan_watch, *bell_watch;
	struct ipc_chan *chan;
	int ring_fd, bells[2];
	struct statseg *stats; // of the dataplane that is played
	struct pktring_mem mem;
	struct pktring_tx tx;
	struct pktring_rx rx;
	uint64_t boot_id;
	bool refuses_sessions, is_deaf;
	unsigned n_legs_refused; // so many more
	unsigned n_commands, n_punts, n_dels, n_queries;
	uint32_t query_seq;
	// clients
	struct client *clients[MAX_CLIENTS];
	unsigned n_clients;
	struct dtls_ctx *dtls;
	// store
	struct fake_record records[MAX_RECORDS];
	unsigned n_records;
	bool store_is_away;
	store_state_fn on_store; // who watches it
	void *on_store_arg;
	// metrics
	double sums[N_METRICS];
	struct {
		char label[32];
		double n;
	} drops[64];
	unsigned n_drops;
	unsigned n_unknown_closes;
	char last_close[64];
};

extern struct world *world; // for the fakes, which get no argument of ours

void world_init(void);  // with a hub and a dataplane that listens
void world_begin(void); // world_init, and the hub serves
void world_fini(void);
void world_hub(void); // a hub, after the one before was freed
// kill -9 of the control plane: nobody hears anything, the store keeps what it had, clients lose their data
// channels. world_hub() starts the next one.
void world_kill_hub(void);
void world_turn(void);   // the loop does all it can do now; a millisecond passes
bool world_serves(void); // the hub has read back what was and its link is up
unsigned world_sessions(void);

// True as soon as cond holds, false when so many seconds have passed.
#define world_until(cond, seconds)                                    \
	({                                                            \
		ns_t end_ = clock_now() + (ns_t)((seconds)*NS_PER_S); \
		while (!(cond) && clock_now() < end_)                 \
			world_turn();                                 \
		(cond);                                               \
	})
#define world_for(seconds) ((void)world_until(false, seconds))
