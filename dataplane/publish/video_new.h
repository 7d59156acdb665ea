// Making the video half of a source: its layers, and the publisher's side of each. thread: main
#pragma once

struct dp;
struct source;
struct video;

// Of a source that stays a video source with so many layers. NULL: out of memory.
struct video *video_new(struct dp *, struct source *, unsigned n_layers);
void video_free(struct video *); // NULL is allowed
