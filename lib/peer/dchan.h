// WebRTC data channels over SCTP (usrsctp), sans-I/O: SCTP packets in and out through calls.
//
// 1. dchan_start once per process, dchan_clock every 10 to 150 ms: usrsctp keeps one clock for all
// 2. dchan_new when DTLS is up: both sides start the association, collisions resolve themselves
// 3. dchan_input for each packet from DTLS; ops.send gives packets for DTLS
// 4. on_open for each channel the peer opens (DCEP, acknowledged by us), then on_message, dchan_send
// 5. dchan_free at any time, also inside a callback (not inside send)
//
// What the peer sends is queued while usrsctp runs and handed out when it has returned, so callbacks may
// use every function here.
//
// usrsctp sees numbers, never our pointers; a late callback for a freed association finds nothing.
// Limits: DCHAN_MAX_MSG bytes a message, DCHAN_MAX_STREAMS streams, DCHAN_MAX_QUEUE bytes waiting to be
// sent; a peer that breaks them is told `down`.
//
// thread: one, the same for all associations.
// source: RFC 9260, RFC 8261, RFC 8831, RFC 8832
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"

#define DCHAN_MAX_MSG (256 * 1024)   // bytes, announced as a=max-message-size
#define DCHAN_MAX_STREAMS 16         // clients open one channel; each stream is 100 bytes of usrsctp
#define DCHAN_MAX_QUEUE (512 * 1024) // bytes accepted by dchan_send and not yet acknowledged
#define DCHAN_MAX_PACKET 1150        // bytes of an SCTP packet, fits one DTLS datagram
#define DCHAN_PORT 5000              // a=sctp-port

struct dchan;

enum dchan_kind { DCHAN_TEXT, DCHAN_BINARY };

// send may be called from any dchan_* call including dchan_clock and must not call back into dchan.
// The others are called from dchan_input and dchan_clock only.
struct dchan_ops {
	void (*send)(void *arg, const uint8_t *packet, size_t len);
	void (*on_up)(void *arg); // association stands; channels can be opened
	void (*on_open)(void *arg, uint16_t stream, struct str label, struct str protocol);
	void (*on_message)(void *arg, uint16_t stream, enum dchan_kind, const uint8_t *data, size_t len);
	void (*on_closed)(void *arg, uint16_t stream); // the peer closed the channel
	void (*on_down)(void *arg); // association lost, once; only dchan_free is useful then
};

// Set up and take down the library. dchan_stop waits for nothing: it forgets what the peers have not
// acknowledged. returns: 0 or -ENOMEM
[[nodiscard]] int dchan_start(ns_t now);
void dchan_stop(void);

// Advance all timers of all associations to now. What is old enough to be sent again usrsctp judges by
// the real clock, so time may not be made to run faster than it.
void dchan_clock(ns_t now);

// New association over an established DTLS connection; ops are copied, arg is borrowed. Calls ops.send
// (INIT) before it returns. NULL + errno.
struct dchan *dchan_new(const struct dchan_ops *ops, void *arg);
void dchan_free(struct dchan *); // NULL is allowed; aborts the association

void dchan_input(struct dchan *, const uint8_t *packet, size_t len);

// Open a channel; on_open follows with an empty label when the peer has acknowledged (client: even ids when it is the DTLS client, RFC 8832 section 6). Ordered, reliable.
// returns: 0, -EINVAL, -ENOTCONN, or as dchan_send
[[nodiscard]] int dchan_open(struct dchan *, uint16_t stream, struct str label);

// Queue a message. returns: 0, -ENOTCONN, -EMSGSIZE, -ENOBUFS when too much waits already
[[nodiscard]] int dchan_send(struct dchan *, uint16_t stream, enum dchan_kind, const void *data, size_t len);

// Has the peer acknowledged everything sent so far?
bool dchan_is_flushed(const struct dchan *);
