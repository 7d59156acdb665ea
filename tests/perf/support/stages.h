// The stages of sending that can be run alone, over the receivers of a bed: what is left of the whole is making headers,
// reading and writing state.
#pragma once

#include "tests/perf/support/bed.h"

// Rows of the case that the bed is filled with.
void stages_print(struct bed *b);
