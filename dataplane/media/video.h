// The video half of a source: its layers, and which workers have receivers to serve.
#pragma once

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "dataplane/media/layer.h"
#include "dataplane/port/port.h"

struct fanout;
struct intake;
struct source;

// Receivers of one video source on one worker, as work to be done. thread: that worker
struct audience {
	alignas(64) TAILQ_ENTRY(audience) link; // in the worker's list of audiences that wait
	struct source *source;                  // borrowed: type-stable
	const struct fanout *seen;              // list the lap began with; compared only
	uint32_t next;                          // receiver to serve next
	uint32_t left;                          // receivers of this lap
	bool is_queued;
};

// Memory of a video is type-stable like that of its source, which it belongs to for life.
struct video {
	uint8_t n_layers;                 // 1..LAYER_MAX, for life
	struct layer *layer[LAYER_MAX];   // owned
	struct intake *intake[LAYER_MAX]; // owned; the publisher's home worker's
	struct audience audience[PORT_MAX_WORKERS];
};
