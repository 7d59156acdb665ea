// bcrypt on the work queue: sources take turns, the wait is bounded. thread: loop, but the hashing.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "controlplane/sys/loop.h"

#define BCRYPT_HASH_LEN 60
#define BCRYPT_SETTING_MAX 128

struct bcrypt_queue;

// One hashing. The owner fills key and setting (a stored hash to verify against, or from bcrypt_salt), and
// keeps the item until done.
struct bcrypt_job {
	char key[73];                      // at most 72 bytes and NUL; wiped when done
	char setting[BCRYPT_SETTING_MAX];  // NUL-terminated
	char hash[BCRYPT_SETTING_MAX];     // result; "" when hashing failed
	int rc;                            // 0; -ETIMEDOUT waited too long; -ECANCELED the queue ends
	void (*done)(struct bcrypt_job *); // on the loop
	// the queue's:
	struct work work;
	struct bcrypt_queue *queue;
	struct bcrypt_lane *lane;
	ns_t due;
	TAILQ_ENTRY(bcrypt_job) link;
};

// wait: longest time in the queue; max_running: at a time; max_waiting, max_per_lane: jobs. NULL + errno.
struct bcrypt_queue *bcrypt_new(struct loop *, ns_t wait, unsigned max_running, unsigned max_waiting,
				unsigned max_per_lane);
void bcrypt_free(struct bcrypt_queue *); // waits for what runs, done is called with -ECANCELED for the rest

// lane: who asks; lanes are served in turns. 0, -ENOBUFS when too much waits, -ENOMEM: done is not called.
[[nodiscard]] int bcrypt_submit(struct bcrypt_queue *, const uint8_t lane[16], struct bcrypt_job *);

void bcrypt_salt(char setting[BCRYPT_SETTING_MAX], unsigned cost); // "$2a$10$..."
bool bcrypt_matches(const struct bcrypt_job *);                    // hash equals setting; constant time
