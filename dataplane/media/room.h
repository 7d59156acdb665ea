// Choosing who is heard in a large call. A room is a call with many open microphones; one worker looks at all its
// voices every 20 ms and marks those that are left out. The algorithm is lib/rtc/recv/speakers.h; here is what moves.
//
// Publishers' workers note the level of each packet in the voice's seat (one store); the room's worker reads the
// seats and writes one flag per voice; publishers' workers look at the flag. Below `from` open microphones nobody is
// left out. Main makes rooms and lists of members (model_room.c), workers hold a list no longer than a round.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/wheel.h"
#include "lib/rtc/recv/speakers.h"

struct source;
struct worker;

// Immutable; replaced by main when somebody joins, leaves, mutes or unmutes.
struct room_list {
	uint32_t n;
	struct room_member {
		struct source *source; // borrowed: type-stable
		uint32_t gen;
	} member[];
};

struct room {
	const struct room_list *_Atomic list; // rcu; NULL: nobody
	uint32_t call;
	uint16_t from; // open microphones above which a choice is made
	uint8_t k;     // voices that are chosen

	// the room's worker
	struct timer timer;
	struct worker *worker;        // borrowed
	const struct room_list *seen; // compared only
	uint32_t turn;                // counts lists that were met
	struct speakers speakers;
	bool is_choosing;
};

// thread: main. NULL: out of memory.
struct room *room_new(uint32_t call, uint8_t k, uint16_t from);
void room_free(void *room);

// MAIL_ROOM_ADD, MAIL_ROOM_CHANGED (the list was replaced), MAIL_ROOM_DEL. thread: the room's worker
void room_start(struct worker *, struct room *);
void room_changed(struct worker *, struct room *);
void room_stop(struct worker *, struct room *);
