// Stands before lib/base/clock.c: the time of this process goes on when a test says so, so that minutes of a
// call take milliseconds and no load of the machine makes a test late.
#pragma once

#include "lib/base/clock.h"

void clock_pass(ns_t);       // time passes
ns_t clock_of_machine(void); // CLOCK_MONOTONIC: for what must not block
