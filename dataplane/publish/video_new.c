#include "dataplane/publish/video_new.h"

#include <stdlib.h>

#include "dataplane/core/cacheline.h"
#include "dataplane/core/dp.h"
#include "dataplane/media/layer.h"
#include "dataplane/media/video.h"
#include "dataplane/publish/intake.h"

struct video *video_new(struct dp *dp, struct source *src, unsigned n_layers)
{
	struct video *v = cacheline_zalloc(sizeof(*v));

	if (v == NULL)
		return NULL;
	v->n_layers = (uint8_t)n_layers;
	for (unsigned i = 0; i < PORT_MAX_WORKERS; i++)
		v->audience[i].source = src;
	for (unsigned i = 0; i < n_layers; i++) {
		v->layer[i] = layer_new(dp->video, layer_slots(dp->conf->rtc.nack_buffer_size));
		v->intake[i] = intake_new();
		if (v->layer[i] == NULL || v->intake[i] == NULL) {
			video_free(v);
			return NULL;
		}
		intake_reset(v->intake[i], v->layer[i]);
	}
	return v;
}

void video_free(struct video *v)
{
	for (unsigned i = 0; v && i < v->n_layers; i++) {
		layer_free(v->layer[i]);
		intake_free(v->intake[i]);
	}
	free(v);
}
