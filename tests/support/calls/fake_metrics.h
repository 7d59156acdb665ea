// metrics.h as the hub uses it: sums in world->sums, drops by reason here.
#pragma once

// How often something was dropped or refused for this reason; at 0 when it never was.
double *drop_count(const char *label);
