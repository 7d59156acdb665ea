// A dataplane in memory for unit tests: real EAL, real workers, but rounds are driven by the test with its
// own clock, and the only port is a pair of arrays. One rig at a time.
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/core/session.h"
#include "dataplane/ctl/build.h"
#include "dataplane/ctl/eal.h"
#include "dataplane/ctl/model.h"
#include "dataplane/gate/punt.h"
#include "dataplane/media/leg.h"
#include "dataplane/media/source.h"
#include "tests/unit/check.h"

#define RIG_SENT 4096
#define RIG_PT 111

struct rig_out {
	struct flow_key to;
	uint16_t len;
	uint8_t data[1500];
};

// Is it an RTP packet of this SSRC?
bool rig_is_rtp(const struct rig_out *o, uint32_t ssrc);

struct rig {
	struct conf conf;
	struct dp *dp;
	struct model *model;
	struct seal_engine *seal;
	ns_t now;
	struct port port;
	struct rte_mbuf *in[PORT_MAX_WORKERS][BURST];
	unsigned n_in[PORT_MAX_WORKERS];
	struct rig_out *sent; // RIG_SENT entries
	unsigned n_sent;
	uint32_t seq;
	uint8_t flags;   // of sessions that are added: enum ipc_session_flags
	uint32_t tenant; // of them
};

extern struct rig rig;
extern const struct port_ops rig_ops; // of its port

// A dataplane of n workers (1 or 2), registered and ready for rig_run.
bool rig_open(unsigned n);
void rig_close(void);

// One round of every worker after dt; twice, so that what one hands to the other arrives.
void rig_run(ns_t dt);

// Sum over all threads.
uint64_t rig_counter(enum counter id);

// Command to the model; its err.
int rig_command(void *msg, size_t size, enum ipc_type type);
#define rig_cmd(msg, type) rig_command((msg), sizeof(*(msg)), (type))
