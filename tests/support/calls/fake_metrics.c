#include "tests/support/calls/fake_metrics.h"

#include <stdio.h>

#include "controlplane/sys/metrics.h"
#include "lib/base/err.h"
#include "tests/support/calls/world.h"

double *drop_count(const char *label)
{
	for (unsigned i = 0; i < world->n_drops; i++)
		if (strcmp(world->drops[i].label, label) == 0)
			return &world->drops[i].n;
	MUST(world->n_drops < ARRAY_LEN(world->drops));
	snprintf(world->drops[world->n_drops].label, sizeof(world->drops[0].label), "%s", label);
	return &world->drops[world->n_drops++].n;
}

void metric_add(struct metrics *m, enum metric id, const struct str *labels, double delta)
{
	char label[32];

	world->sums[id] += delta;
	if (id != M_SIGNALING_DROPS && id != M_SESSIONS_CLOSED && id != M_JOINS_REFUSED)
		return;
	CHECK(str_copy(labels[0], label, sizeof(label)));
	*drop_count(label) += delta;
}
void metric_set(struct metrics *m, enum metric id, const struct str *labels, double value)
{
}
void metric_observe(struct metrics *m, enum metric id, const struct str *labels, double value)
{
	CHECK(value >= 0);
	world->sums[id] += 1;
}
