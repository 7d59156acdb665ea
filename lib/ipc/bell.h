// Doorbells between processes that do not trust each other: a descriptor that poll and epoll show as readable once it was
// rung, until it is hushed. Ringing and hushing never wait, whatever the other process does to the descriptor.
//
// A bell is a message queue of the kernel with room for one empty message, because its calls take their deadline as an
// argument. Whether an eventfd or a pipe waits is a flag of the open file, which both processes share, so each could make
// the other one wait. Messages of a Unix socket may carry descriptors, and closing those may take long.
#pragma once

// A new bell, close-on-exec; -errno. ENOSPC: fs.mqueue.queues_max, EMFILE: RLIMIT_MSGQUEUE.
[[nodiscard]] int bell_new(void);
void bell_ring(int bell); // rung already: nothing
void bell_hush(int bell); // not rung: nothing
