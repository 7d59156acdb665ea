// What the parts of the port over ethdevs share: port_ethdev.c opens, tends and closes it, ethdev_device.c sets the
// device up, ethdev_shared.c agrees with the kernel about an interface that is its too, ethdev_burst.c moves packets.
#pragma once

#include <errno.h>
#include <net/if.h>
#include <stdatomic.h>

#include <rte_spinlock.h>

#include "dataplane/port/ethdev_spec.h"
#include "dataplane/port/frame.h"
#include "dataplane/port/kernel_side.h"

#define MAX_DEV_QUEUES 128

struct ethdev {
	struct port port;
	struct frame_ours ours;
	uint16_t dev; // DPDK port id
	uint16_t n_rxq, n_txq;
	uint64_t tx_flags; // checksums the device finishes: RTE_MBUF_F_TX_*
	bool is_shared, is_af_xdp;
	bool has_offloads; // that the device claims may be used
	bool has_kernel;   // kernel_dev is there
	bool link_up;
	_Atomic uint64_t n_lost; // packets the device had no room or buffer for: main writes, worker 0 reads
	uint16_t kernel_dev;     // DPDK port id of the tap
	struct kernel_claim claim;
	rte_spinlock_t tx_lock[MAX_DEV_QUEUES]; // taken when n_txq < workers
	char name[SPEC_SIZE];                   // of the device
	char iface[IFNAMSIZ];                   // shared: the kernel's name for it
};

static inline struct ethdev *ethdev_of(struct port *port)
{
	return (struct ethdev *)port;
}

// --- ethdev_device.c. thread: main, before the workers. 0, -errno with env->error filled
// What is wrong goes to env->error. Returns err.
int ethdev_fail(const struct port_env *, int err, const char *what, const char *fix);
// args: DPDK's device string. Its queues, offloads and MAC are in ethdev afterwards, and it runs.
int device_open(struct ethdev *, const struct port_env *, const char *args);
// A tap named sluiceN with the device's MAC and our addresses. Failing is no error: neigh.c answers then.
void device_open_tap(struct ethdev *, const struct port_env *);
void device_close(uint16_t dev, bool is_started);

// --- ethdev_shared.c. thread and errors: as above
// The kernel's interface, and our claim on its UDP port.
int shared_prepare(struct ethdev *, const struct port_env *, const char *spec);
// DPDK's arguments for a shared interface: as many queues as we want or must serve, our filter.
//
// args: of SPEC_SIZE bytes; object: out, descriptor to close when the device is open, untouched without
int shared_complete_args(const struct ethdev *, const struct port_env *, char *args, int *object);

// --- ethdev_burst.c. rx and tx as in struct port_ops
unsigned ethdev_rx(struct port *, unsigned queue, struct rte_mbuf **pkts, unsigned n);
void ethdev_tx(struct port *, unsigned queue, struct rte_mbuf **pkts, const struct path *const *paths,
	       unsigned n);
// Frames as they are. All n are consumed. Returns how many left. thread: the worker, or main before it runs
unsigned ethdev_send(struct ethdev *, unsigned worker, struct rte_mbuf **frames, unsigned n);
