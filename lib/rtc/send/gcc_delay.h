// Delay part of lib/rtc/send/gcc.h; nobody else includes this.
//
// source: draft-ietf-rmcat-gcc-02 sections 5.2 to 5.4
#pragma once

#include "lib/rtc/send/gcc.h"

void gcc_delay_init(struct gcc_delay *);

// A packet's times, in the order of sending.
void gcc_delay_packet(struct gcc_delay *, int64_t sent_us, int64_t arrival_us);
